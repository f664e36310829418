"""llmos logs: the server's log."""

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_json, stderr
from llmos.core.config import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmos.cli.control.port import ControlPort
    from llmos.core.schemas.logs import LogPage

FOLLOW_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    app.command("logs")(logs)


def logs(
    request: Annotated[
        str | None, typer.Option(metavar="ID", help="Only lines about this request, or this answer.")
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="Only calls that this version answered, and the events of its deployment."
        ),
    ] = None,
    level: Annotated[
        str | None, typer.Option(help="Only lines of this level or a more severe one: warning, error.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help="24h or 7d ago, or a date.")] = None,
    tail: Annotated[int, typer.Option(help="The number of lines, 10000 at most.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines until Ctrl-C.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the log of the server: calls, requests, sign-ins, deployments, errors. No line has a prompt or an answer."""
    from llmos.cli.times import parse_past

    moment = None if since is None else parse_past(since)
    with open_control(load_settings()) as control:
        page = control.logs.list(request=request, version=version, level=level, since=moment, limit=tail)
        if as_json and not follow:
            print_json(page)
            return
        if not page.data and not follow:
            stderr().print("There are no such lines.")
        _print(page, as_json=as_json)
        if follow:
            _follow(control, page.next, {"request": request, "version": version, "level": level}, as_json=as_json)


def _follow(control: "ControlPort", place: str | None, wanted: "Mapping[str, Any]", *, as_json: bool) -> None:
    while True:
        time.sleep(FOLLOW_SECONDS)
        page = control.logs.list(after=place, limit=1000, **wanted)
        _print(page, as_json=as_json)
        place = page.next


def _print(page: "LogPage", *, as_json: bool) -> None:
    for line in page.data:
        sys.stdout.write((json.dumps(line) if as_json else _rendered(line)) + "\n")
    sys.stdout.flush()


def _rendered(line: dict[str, Any]) -> str:
    """Return a line as text. A newer server may write lines that this version doesn't know."""
    from llmos.core.log_lines import render_text

    try:
        return render_text(line)
    except KeyError:
        return json.dumps(line)
