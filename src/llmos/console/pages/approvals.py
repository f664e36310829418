"""Approvals: the runs that wait for a person, with what they wait for, live."""

from starlette.responses import Response

from llmos.console import code
from llmos.console.page import Fragments, Page
from llmos.console.pages.runs import as_text
from llmos.console.view import View
from llmos.core.schemas.runs import RunDescription

PAGE = Page(name="apps", path="/approvals", permission="apps:read", in_navigation=False, tab="approvals.title")

_LIMIT = 50


@PAGE.get()
async def list_approvals(view: View) -> Response:
    return view.render(
        "approvals.html",
        runs=await _waiting(view),
        as_text=as_text,
        code=code.changing(
            "POST",
            "llmos app resume run-0123456789abcdef01234567 --value true",
            "/llmos/v1/runs/run-0123456789abcdef01234567/signals/approval",
            {"value": True},
            'for run in client.runs.list(state="waiting"):\n    client.runs.signal(run.id, run.waits_for, True)',
        ),
    )


@PAGE.live()
async def watch_approvals(view: View) -> Fragments:
    return {"waiting": view.html("approvals_list.html", runs=await _waiting(view), as_text=as_text)}


async def _waiting(view: View) -> list[RunDescription]:
    return await view.api.list(RunDescription, "/llmos/v1/runs", state="waiting", limit=_LIMIT)
