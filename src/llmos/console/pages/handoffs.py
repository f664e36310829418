"""Hand-offs: questions that applications handed over to a person: take one over, answer it or close it."""

from collections.abc import Mapping, Sequence

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path, with_query
from llmos.console.page import Fragments, Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.schemas.handoffs import OPEN_STATES, HandoffDescription

PAGE = Page(name="apps", path="/handoffs", permission="apps:read", in_navigation=False, tab="handoffs.title")

STATES = ("open", "taken", "answered", "closed")
_LIMIT = 100

_COLUMNS: Sequence[Column[HandoffDescription]] = (
    Column(name="id", title="handoffs.id", value=lambda row: row.id, link=lambda row: f"/handoffs/{row.id}"),
    Column(name="app", title="runs.app", value=lambda row: row.app),
    Column(name="state", title="keys.state", value=lambda row: row.state, kind="state"),
    Column(name="question", title="handoffs.question", value=lambda row: row.question),
    Column(name="taken_by", title="handoffs.taken_by", value=lambda row: row.taken_by),
    Column(name="created_at", title="handoffs.since", value=lambda row: row.created_at, kind="time"),
)


@PAGE.get()
async def list_handoffs(view: View) -> Response:
    asked = {"app": view.query("app"), "state": view.query("state") if view.query("state") in STATES else ""}
    found = await view.api.list(
        HandoffDescription, "/llmos/v1/handoffs", after=view.query("after"), limit=_LIMIT, **asked
    )
    table = Table(view, "handoffs", _COLUMNS, found, empty="handoffs.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "handoffs.html",
        table=table,
        asked=asked,
        states=STATES,
        older=with_query("/handoffs", {**asked, "after": found[-1].id}) if len(found) == _LIMIT else None,
        num_open=await _num_open(view),
        code=code.reading(
            "llmos handoff list",
            "/llmos/v1/handoffs?state=open",
            'for each in client.handoffs.list(state="open"):\n    print(each.id, each.question)',
        ),
    )


@PAGE.live()
async def watch_handoffs(view: View) -> Fragments:
    return {"open": view.html("handoffs_open.html", num_open=await _num_open(view))}


@PAGE.get("/{id}")
async def show_handoff(view: View) -> Response:
    id = view.request.path_params["id"]
    found = await view.api.read(HandoffDescription, f"/llmos/v1/handoffs/{id}")
    return view.render(
        "handoff.html",
        asked=found,
        is_open=found.state in OPEN_STATES,
        code=code.changing(
            "POST",
            f'llmos handoff answer {id} "Yes, within two weeks."',
            f"/llmos/v1/handoffs/{quote_path(id)}/answer",
            {"text": "Yes, within two weeks."},
            f'client.handoffs.answer("{id}", "Yes, within two weeks.")',
        ),
    )


@PAGE.live("/{id}")
async def watch_handoff(view: View) -> Fragments:
    found = await view.api.read(HandoffDescription, f"/llmos/v1/handoffs/{view.request.path_params['id']}")
    return {"state": view.html("handoff_state.html", asked=found)}


@PAGE.post("/{id}/take")
async def take(view: View) -> Response:
    _, id = await _change(view)
    await view.api.post(f"/llmos/v1/handoffs/{id}/take")
    return view.redirect(view.form_came_from, view.t("handoffs.taken"))


@PAGE.post("/{id}/answer")
async def answer(view: View) -> Response:
    form, id = await _change(view)
    answered = await view.api.post(f"/llmos/v1/handoffs/{id}/answer", {"text": form.get("text", "").strip()})
    text = "handoffs.answered_nowhere" if answered["turn"] is None else "handoffs.answered"
    return view.redirect(view.form_came_from, view.t(text))


@PAGE.post("/{id}/close")
async def close(view: View) -> Response:
    form, id = await _change(view)
    await view.api.post(f"/llmos/v1/handoffs/{id}/close", {"reason": form.get("reason", "").strip()})
    return view.redirect(view.form_came_from, view.t("handoffs.closed"))


async def _num_open(view: View) -> int:
    """Return how many questions nobody has taken over, up to a thousand."""
    return len(await view.api.list(HandoffDescription, "/llmos/v1/handoffs", state="open", limit=1000))


async def _change(view: View) -> tuple[Mapping[str, str], str]:
    form, id = await view.form(), view.request.path_params["id"]
    view.form_came_from = f"/handoffs/{id}"
    return form, id
