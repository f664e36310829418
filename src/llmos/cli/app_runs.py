"""The output of `llmos app run`: the answer as it comes, tools and steps between its lines, citations below."""

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llmos.cli.output import one_line, print_json, stderr, stdout
from llmos.cli.terminal import answer_writer

if TYPE_CHECKING:
    from llmos.core.schemas.hosted_apps import RunEvent, RunResult
    from llmos.core.schemas.knowledge import Citation

_MAX_CHARS = 200
"""The most characters of an argument or a result that are shown."""


def show_run(events: "Iterable[RunEvent]", *, as_json: bool) -> None:
    """Show a run while it goes on; with `as_json`, its result when it has ended."""
    result: RunResult | None = None
    show, show_rest = answer_writer()
    is_in_line = False
    for event in events:
        result = event.run or result
        if as_json:
            continue
        if event.type == "text":
            show(event.text)
            is_in_line = not event.text.endswith("\n")
        elif event.type in ("tool", "step"):
            show_rest()
            if is_in_line and sys.stdout.isatty():
                print(flush=True)
                is_in_line = False
            _show_work(event)
    show_rest()
    assert result is not None, "the last event has the run"
    show_result(result, as_json=as_json, has_text=True, is_in_line=is_in_line)


def show_result(result: "RunResult", *, as_json: bool, has_text: bool = False, is_in_line: bool = True) -> None:
    """Show a run that has ended, or waits. `has_text`: its text was shown already."""
    if as_json:
        print_json(result)
        return
    if not has_text and result.text:
        print(result.text)
    elif is_in_line and result.text:
        print()
    sys.stdout.flush()
    for number, citation in enumerate(result.citations, 1):
        stdout().print(f"[{number}] {_place(citation)}", markup=False, style="dim")
    for note in result.notes:
        stderr().print(f"Note: {note}", markup=False)
    if result.state != "succeeded":
        stderr().print(f"{result.id} waits for {result.waits_for}: {_short(result.waits_with)}", markup=False)
        stderr().print(f"To approve it: llmos app resume {result.id} --value true", markup=False)


def _show_work(event: "RunEvent") -> None:
    if event.type == "tool" and event.state == "begun":
        stderr().print(f"· {event.name} {_short(event.arguments)}", markup=False, style="dim")
        return
    repeated = " (of an earlier process)" if event.is_repeated else ""
    arrow = "→" if event.state != "failed" else "failed:"
    stderr().print(f"· {event.name} {arrow} {_short(event.result)}{repeated}", markup=False, style="dim")


def _place(citation: "Citation") -> str:
    where = " > ".join(citation.heading)
    page = f", page {citation.page}" if citation.page is not None else ""
    return f"{citation.document}{page}{f' ({where})' if where else ''}: {_short(citation.quote)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return one_line(text, _MAX_CHARS)
