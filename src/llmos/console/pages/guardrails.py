"""Guardrails: policies with their versions and where they apply, a box to try a text in, and replays of kept calls."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.page import Fragments, Page
from llmos.console.pages.plans import read_object
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest
from llmos.core.schemas.base import read_description
from llmos.core.schemas.guardrails import GuardrailPolicyDescription, GuardrailReplayDescription, GuardrailTrial
from llmos.core.schemas.jobs import JobDescription

PAGE = Page(
    name="settings",
    path="/settings/guardrails",
    permission="guardrails:read",
    in_navigation=False,
    tab="guardrails.title",
)

_MAX_DAYS = 3650

_COLUMNS: Sequence[Column[GuardrailPolicyDescription]] = (
    Column(
        name="name",
        title="guardrails.name",
        value=lambda row: row.name,
        link=lambda row: f"/settings/guardrails/{row.name}",
    ),
    Column(name="version", title="models.version", value=lambda row: row.version, kind="number"),
    Column(name="applied_to", title="guardrails.applied", value=lambda row: ", ".join(row.applied_to)),
    Column(name="kinds", title="guardrails.kinds", value=lambda row: _kinds(row)),
    Column(name="created_at", title="routes.updated", value=lambda row: row.created_at, kind="time"),
)


@PAGE.get()
async def list_policies(view: View) -> Response:
    found = await view.api.list(GuardrailPolicyDescription, "/llmos/v1/guardrails")
    table = Table(view, "guardrails", _COLUMNS, found, empty="guardrails.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "guardrails.html",
        table=table,
        code=code.changing(
            "PUT",
            "llmos guardrail set strict strict.toml",
            "/llmos/v1/guardrails/strict",
            {"both": [{"guardrail": "max_length", "characters": 100_000}]},
            'client.guardrails.set("strict", {"both": [{"guardrail": "secrets"}]})',
        ),
    )


@PAGE.get("/{name}")
async def show_policy(view: View) -> Response:
    return await _show(view, view.request.path_params["name"])


@PAGE.live("/{name}")
async def watch_policy(view: View) -> Fragments:
    return {"replays": view.html("guardrail_replays.html", replays=await _replays(view, _name(view)))}


@PAGE.post("/set")
async def set_policy(view: View) -> Response:
    form = await view.form()
    name = form.get("name", "").strip()
    view.form_came_from = view.form_came_from or "/settings/guardrails"
    if not name:
        raise BadRequest(view.t("guardrails.no_name"))
    made = await view.api.put(f"/llmos/v1/guardrails/{name}", read_object(view, form.get("document", "")))
    text = view.t("guardrails.was_set", name=name, version=made["version"])
    return view.redirect(f"/settings/guardrails/{name}", text)


@PAGE.post("/{name}/try")
async def try_policy(view: View) -> Response:
    """Show what the policy makes of a text. Nothing is asked of a model."""
    form, name = await _change(view)
    view.shown_path = view.form_came_from
    body = {"text": form.get("text", ""), "side": "output" if form.get("side") == "output" else "input"}
    trial = read_description(GuardrailTrial, await view.api.post(f"/llmos/v1/guardrails/{name}/try", body))
    return await _show(view, name, tried=body, trial=trial)


@PAGE.post("/{name}/replay")
async def start_replay(view: View) -> Response:
    form, name = await _change(view)
    days = form.get("days", "").strip() or "7"
    if not (days.isascii() and days.isdigit() and 0 < int(days) <= _MAX_DAYS):
        raise BadRequest(view.t("base.no_number", text=days[:40]))
    since = datetime.now(UTC) - timedelta(days=int(days))
    await view.api.post("/llmos/v1/jobs", {"kind": "replay", "policy": name, "since": since.isoformat()})
    return view.redirect(view.form_came_from, view.t("guardrails.replaying", days=days))


@PAGE.post("/{name}/apply")
async def apply(view: View) -> Response:
    form, name = await _change(view)
    await view.api.post(f"/llmos/v1/guardrails/{name}/apply", _place(form))
    return view.redirect(view.form_came_from, view.t("guardrails.is_applied", name=name))


@PAGE.post("/{name}/unapply")
async def unapply(view: View) -> Response:
    form, name = await _change(view)
    scope, _, target = form.get("place", "").partition(":")
    await view.api.post(f"/llmos/v1/guardrails/{name}/unapply", {"scope": scope, "target": target})
    return view.redirect(view.form_came_from, view.t("guardrails.is_unapplied", name=name))


@PAGE.post("/{name}/remove")
async def remove(view: View) -> Response:
    _, name = await _change(view)
    await view.api.delete(f"/llmos/v1/guardrails/{name}")
    return view.redirect("/settings/guardrails", view.t("guardrails.removed", name=name))


async def _show(
    view: View, name: str, *, tried: Mapping[str, str] = {}, trial: GuardrailTrial | None = None
) -> Response:
    policy = await view.api.read(GuardrailPolicyDescription, f"/llmos/v1/guardrails/{name}")
    history = await view.api.list(GuardrailPolicyDescription, f"/llmos/v1/guardrails/{name}/history")
    return view.render(
        "guardrail.html",
        policy=policy,
        history=history[::-1],
        tried=tried,
        trial=trial,
        replays=await _replays(view, policy.name),
        code=code.changing(
            "POST",
            f"llmos guardrail try {policy.name} text.txt",
            f"/llmos/v1/guardrails/{quote_path(policy.name)}/try",
            {"text": "Mail me at ann@example.com", "side": "input"},
            f'print(client.guardrails.try_out("{policy.name}", "Mail me at ann@example.com").verdict)',
        ),
    )


async def _replays(view: View, name: str) -> list[tuple[JobDescription, GuardrailReplayDescription | None]]:
    """Return the newest replays of a policy, with what those found that have ended."""
    jobs = await view.api.list(JobDescription, "/llmos/v1/jobs") if view.may("jobs:read") else []
    found = [job for job in jobs if job.kind == "replay" and job.request.get("policy") == name]
    found.sort(key=lambda job: job.created_at.timestamp() if job.created_at else 0.0, reverse=True)
    return [
        (job, read_description(GuardrailReplayDescription, job.result) if job.result is not None else None)
        for job in found[:5]
    ]


def _kinds(policy: GuardrailPolicyDescription) -> str:
    entries = [entry for side in policy.document.values() if isinstance(side, list) for entry in side]
    return ", ".join(dict.fromkeys(str(entry.get("guardrail", "")) for entry in entries if isinstance(entry, dict)))


def _place(form: Mapping[str, str]) -> dict[str, Any]:
    scope = form.get("scope", "")
    return {"scope": scope, "target": "" if scope == "installation" else form.get("target", "").strip()}


def _name(view: View) -> str:
    return str(view.request.path_params["name"])


async def _change(view: View) -> tuple[Mapping[str, str], str]:
    form, name = await view.form(), _name(view)
    view.form_came_from = f"/settings/guardrails/{name}"
    return form, name
