"""Runs: what applications did: the list, and one run with its steps, costs, and what it waits for or doubts."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path, with_query
from llmos.console.page import Fragments, Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest, NotFound
from llmos.core.schemas.runs import LIVE_STATES, RunDescription, StepDescription
from llmos.core.schemas.sessions import AppSessionDescription, TurnDescription

PAGE = Page(name="apps", path="/runs", permission="apps:read", in_navigation=False, tab="runs.title")

STATES = ("running", "waiting", "ready", "succeeded", "failed", "cancelled", "interrupted")
_STEP_STATES = ("begun", "done", "failed", "in_doubt", "cleared")
_LIMIT = 100
STEPS_AT_ONCE = 100
"""Further ones come as they are scrolled to."""

_COLUMNS: Sequence[Column[RunDescription]] = (
    Column(name="id", title="runs.run", value=lambda row: row.id, link=lambda row: f"/runs/{row.id}"),
    Column(name="app", title="runs.app", value=lambda row: row.app),
    Column(name="state", title="keys.state", value=lambda row: row.state, kind="state"),
    Column(name="input", title="runs.input", value=lambda row: as_text(row.input)),
    Column(name="num_steps", title="runs.steps", value=lambda row: row.num_steps, kind="number"),
    Column(name="tokens", title="usage.tokens", value=lambda row: row.usage.total_tokens, kind="number"),
    Column(name="cost", title="usage.costs", value=lambda row: cost_of(row)),
    Column(name="waits_for", title="runs.waits_for", value=lambda row: row.waits_for),
    Column(name="created_at", title="runs.began", value=lambda row: row.created_at, kind="time"),
    Column(name="ended_at", title="runs.ended", value=lambda row: row.ended_at, kind="time"),
)
_STEPS: Sequence[Column[StepDescription]] = (
    Column(name="number", title="runs.number", value=lambda row: row.number, kind="number"),
    Column(name="kind", title="runs.kind", value=lambda row: row.kind),
    Column(name="name", title="runs.name", value=lambda row: row.name),
    Column(name="state", title="keys.state", value=lambda row: row.state, kind="state"),
    Column(name="seconds", title="runs.seconds", value=lambda row: row.seconds, kind="number"),
    Column(name="arguments", title="runs.arguments", value=lambda row: as_text(row.arguments)),
    Column(name="result", title="runs.result", value=lambda row: as_text(row.result)),
    Column(name="at", title="deployments.at", value=lambda row: row.at, kind="time"),
)


@PAGE.get()
async def list_runs(view: View) -> Response:
    asked = {name: view.query(name) for name in ("app", "state", "session")}
    asked["state"] = asked["state"] if asked["state"] in STATES else ""
    runs = await view.api.list(RunDescription, "/llmos/v1/runs", after=view.query("after"), limit=_LIMIT, **asked)
    table = Table(view, "runs", _COLUMNS, runs, empty="runs.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "runs.html",
        table=table,
        asked=asked,
        states=STATES,
        older=with_query("/runs", {**asked, "after": runs[-1].id}) if len(runs) == _LIMIT else None,
        code=code.reading(
            f"llmos app runs {asked['app'] or 'support'}",
            with_query("/llmos/v1/runs", asked),
            "for run in client.runs.list():\n    print(run.id, run.app, run.state)",
        ),
    )


@PAGE.get("/{id}")
async def show_run(view: View) -> Response:
    id, first, state = view.request.path_params["id"], _first(view), _step_state(view)
    if view.query("csv") == "steps":
        run = await view.api.read(RunDescription, f"/llmos/v1/runs/{id}", step_state=state)
        return Table(view, "steps", _STEPS, run.steps, empty="runs.no_steps").csv()
    run = await _read_part(view, id, first, state)
    return view.render(
        "run.html",
        **(await _state(view, run) | _steps(view, run, first, state)),
        step_states=_STEP_STATES,
        code=code.reading(
            f"llmos app resume {id}", f"/llmos/v1/runs/{quote_path(id)}", f'print(client.runs.get("{id}").steps)'
        ),
    )


@PAGE.live("/{id}")
async def watch_run(view: View) -> Fragments:
    run = await view.api.read(RunDescription, f"/llmos/v1/runs/{view.request.path_params['id']}", max_steps=0)
    return {"run": view.html("run_state.html", **await _state(view, run))}


@PAGE.get("/{id}/rows")
async def show_more_steps(view: View) -> Response:
    """Return the next rows of the steps, for the page to append."""
    id, first, state = view.request.path_params["id"], _first(view), _step_state(view)
    run = await _read_part(view, id, first, state)
    return view.render("run_rows.html", **_steps(view, run, first, state))


@PAGE.get("/{id}/steps/{number}")
async def show_step(view: View) -> Response:
    id, number = (view.request.path_params[name] for name in ("id", "number"))
    first = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 2**31 - 1
    run = await _read_part(view, id, first, "", limit=1)
    step = next((each for each in run.steps if each.number == first), None)
    if step is None:
        raise NotFound(view.t("runs.no_step", number=number[:20], count=run.num_steps))
    return view.render("run_step.html", run=run, step=step, passages=_passages(step))


@PAGE.post("/{id}/signal")
async def signal(view: View) -> Response:
    form, id = await _change(view)
    name = form.get("name", "") or "-"
    path = f"/llmos/v1/runs/{id}/signals/{name}"
    if "/" in name or "?" in name:  # Which no path can have: the run itself knows what it waits for.
        path = f"/llmos/v1/apps/{form.get('app', '') or '-'}/runs/{id}/resume"
    await view.api.post(path, {"value": _decision(view, form, name)})
    return view.redirect(view.form_came_from, view.t("runs.decided"))


@PAGE.post("/{id}/resolve")
async def resolve(view: View) -> Response:
    form, id = await _change(view)
    body: dict[str, Any] = {"step": form.get("step", ""), "has_happened": form.get("happened") == "yes"}
    if form.get("result", "").strip():
        body["result"] = _json(form["result"])
    await view.api.post(f"/llmos/v1/runs/{id}/resolve", body)
    return view.redirect(view.form_came_from, view.t("runs.resolved"))


@PAGE.post("/{id}/resume")
async def resume(view: View) -> Response:
    form, id = await _change(view)
    await view.api.post(f"/llmos/v1/apps/{form.get('app', '') or '-'}/runs/{id}/resume")
    return view.redirect(view.form_came_from, view.t("runs.resumed"))


@PAGE.post("/{id}/cancel")
async def cancel(view: View) -> Response:
    _, id = await _change(view)
    await view.api.post(f"/llmos/v1/runs/{id}/cancel")
    return view.redirect(view.form_came_from, view.t("runs.cancelled"))


@PAGE.post("/{id}/remove")
async def remove(view: View) -> Response:
    _, id = await _change(view)
    await view.api.delete(f"/llmos/v1/runs/{id}")
    return view.redirect("/runs", view.t("runs.removed", id=id))


@PAGE.get("/sessions/{id}")
async def show_session(view: View) -> Response:
    id = view.request.path_params["id"]
    session = await view.api.read(AppSessionDescription, f"/llmos/v1/sessions/{id}")
    turns = await view.api.list(
        TurnDescription, f"/llmos/v1/sessions/{id}/turns", before=view.query("before"), limit=50
    )
    return view.render(
        "session.html",
        session=session,
        turns=turns,
        older=f"/runs/sessions/{id}?before={turns[0].index}" if turns and turns[0].index else None,
        code=code.reading(
            f"llmos app runs {session.app}",
            f"/llmos/v1/sessions/{quote_path(id)}/turns",
            f'for turn in client.sessions.turns("{id}"):\n    print(turn.messages)',
        ),
    )


def as_text(value: Any) -> str | None:
    """Return a value of a journal in one line: a message's text, or JSON."""
    if isinstance(value, dict) and isinstance(value.get("content"), str) and value["content"]:
        return str(value["content"])
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def cost_of(run: RunDescription) -> str | None:
    if run.usage.cost is None:
        return None
    return f"{run.usage.cost / 1e9:.6f}".rstrip("0").rstrip(".") + f" {run.usage.currency}"


async def _read_part(view: View, id: str, first: int, state: str, limit: int = STEPS_AT_ONCE + 1) -> RunDescription:
    """Return a run with one step more than is shown, which says whether there are more."""
    part = {"first_step": first, "max_steps": limit, "step_state": state}
    return await view.api.read(RunDescription, f"/llmos/v1/runs/{id}", **part)


async def _state(view: View, run: RunDescription) -> dict[str, Any]:
    """Return what the part of the page that is kept up to date needs."""
    doubted: Sequence[StepDescription] = ()
    if run.waits_for is not None or run.state == "interrupted":
        found = await view.api.read(RunDescription, f"/llmos/v1/runs/{run.id}", step_state="in_doubt", max_steps=20)
        doubted = found.steps
    newest: Sequence[StepDescription] = ()
    if run.state in LIVE_STATES and run.num_steps:
        found = await _read_part(view, run.id, max(0, run.num_steps - 3), "", limit=3)
        newest = found.steps
    return {"run": run, "doubted": doubted, "newest": newest, "cost": cost_of(run), "as_text": as_text}


def _steps(view: View, run: RunDescription, first: int, state: str) -> dict[str, Any]:
    shown = run.steps[:STEPS_AT_ONCE]
    has_more = len(run.steps) > STEPS_AT_ONCE
    query = urlencode({"first": shown[-1].number + 1, "step_state": state}) if has_more else ""
    csv_query = urlencode({"csv": "steps", "step_state": state})
    return {
        "run": run,
        "steps": shown,
        "first": first,
        "step_state": state,
        "more": query,
        "csv_path": f"/runs/{run.id}?{csv_query}",
        "as_text": as_text,
    }


def _passages(step: StepDescription) -> list[Mapping[str, Any]]:
    """Return the passages that a retrieval found: citation, text and score."""
    found = step.result.get("hits") if step.kind == "retrieval" and isinstance(step.result, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _first(view: View) -> int:
    text = view.query("first")
    return min(int(text), 2**31 - 1) if text.isascii() and text.isdigit() else 0


def _step_state(view: View) -> str:
    return view.query("step_state") if view.query("step_state") in _STEP_STATES else ""


def _decision(view: View, form: Mapping[str, str], name: str) -> Any:
    """Return what a signal says. Calls of tools that are confirmed understand a reason; others get the bare value."""
    if form.get("decision") == "other":
        if not form.get("value", "").strip():
            raise BadRequest(view.t("runs.no_value"))
        return _json(form["value"])
    approved, note = form.get("decision") == "approve", form.get("note", "").strip()
    return {"approved": approved, "reason": note} if note and name.startswith("confirm:") else approved


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


async def _change(view: View) -> tuple[Mapping[str, str], str]:
    form, id = await view.form(), view.request.path_params["id"]
    view.form_came_from = view.form_came_from or f"/runs/{id}"
    return form, id
