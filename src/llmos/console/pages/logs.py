"""The server's log: filtered by request and level, with new lines as they come."""

import json
import shlex
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from llmos.console import code
from llmos.console.page import Fragments, Page
from llmos.console.view import View
from llmos.core.log_lines import render_text
from llmos.core.schemas.logs import LogPage

PAGE = Page(name="settings", path="/settings/logs", permission="logs:read", in_navigation=False, tab="logs.title")

LEVELS = ("info", "warning", "error")
_LINES = 200


@PAGE.get()
async def show_log(view: View) -> Response:
    asked = _asked(view)
    query = urlencode(asked)
    options = "".join(f" --{name} {shlex.quote(value)}" for name, value in asked.items())
    return view.render(
        "logs.html",
        asked=asked,
        levels=LEVELS,
        lines=await log_lines(view, _LINES, **asked),
        code=code.reading(
            f"llmos logs --follow{options}",
            f"/llmos/v1/logs?{query}" if query else "/llmos/v1/logs",
            "for line in client.logs.list().data:\n    print(line)",
        ),
    )


@PAGE.live()
async def watch_log(view: View) -> Fragments:
    return {"log": view.html("logs_lines.html", lines=await log_lines(view, _LINES, **_asked(view)))}


def _asked(view: View) -> dict[str, str]:
    given = {name: view.query(name).strip() for name in ("request", "version", "since")}
    given["level"] = view.query("level") if view.query("level") in LEVELS else ""
    return {name: value for name, value in given.items() if value}


async def log_lines(view: View, limit: int, **wanted: str) -> list[tuple[str, str]]:
    """Return the last lines, each with its level."""
    page = await view.api.read(LogPage, "/llmos/v1/logs", limit=limit, **wanted)
    return [(str(line.get("level", "")), _rendered(line)) for line in page.data]


def _rendered(line: dict[str, Any]) -> str:
    """Return a line as text. A newer server may write lines that this version doesn't know."""
    try:
        return render_text(line)
    except (KeyError, TypeError, ValueError):
        return json.dumps(line, ensure_ascii=False)
