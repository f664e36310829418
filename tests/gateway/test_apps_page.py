"""docs/apps.md: its programs do what it says, with the real model."""

from typing import Any

import pytest

from llmos.apps import App
from llmos.apps.limits import Limits
from llmos.apps.options import RunOptions
from llmos.apps.results import CitationEvent, DoneEvent, StepEvent, TextEvent, ToolEvent
from llmos.apps.tools import ToolOptions
from llmos.gateway.control.runs import RunState
from support.doc_pages import DocPage
from support.real_server import KEY, Running

PAGE = DocPage("apps.md")


@pytest.mark.process
def test_the_programs_work_one_after_another(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", running.url)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    names: dict[str, Any] = {"__name__": "docs_apps"}
    for number, program in enumerate(PAGE.blocks("python"), 1):
        exec(compile(program, f"docs/apps.md, program {number}", "exec"), names)
    for app in {id(each): each for each in names.values() if isinstance(each, App)}.values():
        app.close()
    said = capsys.readouterr().out.splitlines()
    assert "run-" in said[0]
    assert said[1] in ("happy", "sad")
    assert said[-2:] == ["waiting {'order_id': 'AB123456', 'cents': 500}", "refunded 500"]


def test_every_option_event_and_state_is_on_the_page() -> None:
    options = PAGE.text.partition("| option of `run` |")[2].partition("\n\n")[0]
    assert {name for name in RunOptions.__dataclass_fields__ if f"| `{name}` |" not in options} == set()
    events = PAGE.text.partition("| event | has |")[2].partition("\n\n")[0]
    for kind in (TextEvent, ToolEvent, StepEvent, CitationEvent, DoneEvent):
        (row,) = [line for line in events.splitlines() if line.startswith(f"| `{kind.type}` |")]
        assert {name for name in kind.__dataclass_fields__ if name != "type" and f"`{name}`" not in row} == set()
    states = PAGE.text.partition("| a run is | |")[2]
    assert {state for state in RunState.__args__ if f"`{state}`" not in states} == set()
    limits = Limits()
    assert f"Limits(steps={limits.steps}, tokens={limits.tokens}, seconds={limits.seconds})" in PAGE.text
    tool = ToolOptions()
    assert f"`seconds` ({tool.seconds:g})" in PAGE.text
    assert f"`max_chars` ({tool.max_chars:,})" in PAGE.text
