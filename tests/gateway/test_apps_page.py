"""docs/apps.md: its programs do what it says, with the real model."""

import re
from pathlib import Path
from typing import Any

import pytest

from llmos.apps import App
from llmos.apps.limits import Limits
from llmos.apps.options import RunOptions
from llmos.apps.results import CitationEvent, DoneEvent, StepEvent, TextEvent, ToolEvent
from llmos.apps.tools import ToolOptions
from llmos.core.app_manifest import parse_manifest
from llmos.gateway.control.runs import RunState
from llmos.hosting.mcp import connect_mcp
from support.doc_pages import DocPage
from support.real_server import KEY, Running

PAGE = DocPage("apps.md")


@pytest.mark.process
def test_the_programs_work_one_after_another(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", running.url)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    (manifest,) = PAGE.blocks("yaml", "An application in a folder")
    (tmp_path / "app.yaml").write_text(manifest)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "support.md").write_text("You help the customers of {{shop}}.")
    names: dict[str, Any] = {"__name__": "docs_apps", "__file__": str(tmp_path / "app.py")}
    apps: dict[int, App] = {}
    for number, program in enumerate(PAGE.blocks("python"), 1):
        exec(compile(program, f"docs/apps.md, program {number}", "exec"), names)
        apps |= {id(each): each for each in names.values() if isinstance(each, App)}
    for app in apps.values():
        app.close()
    said = capsys.readouterr().out.splitlines()
    assert "run-" in said[0]
    assert said[1] in ("happy", "sad")
    assert said[-1].endswith(" 3")
    assert said[-3:-1] == ["waiting {'order_id': 'AB123456', 'cents': 500}", "refunded 500"]


def test_the_mcp_servers_of_the_page_can_be_named() -> None:
    (servers,) = PAGE.blocks("yaml", "Tools")
    sources = connect_mcp(parse_manifest(f"name: shop\n{servers}").mcp)
    assert [source.name for source in sources] == ["shop", "docs"]
    assert {*sources[0].settings.__struct_fields__} - {"max_chars"} <= {*re.findall(r"\w+", servers)}


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
    assert f"Limits(parallel={limits.parallel})" in PAGE.text
    tool = ToolOptions()
    assert f"`seconds` ({tool.seconds:g})" in PAGE.text
    assert f"`max_chars` ({tool.max_chars:,})" in PAGE.text
