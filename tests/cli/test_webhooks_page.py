"""docs/webhooks.md: its commands and its program do what it says."""

from collections.abc import Callable
from typing import Any

import pytest

from llmos.core.posting import TIMEOUT_SECONDS
from llmos.core.webhooks.events import EVENTS
from support.doc_pages import DocPage

PAGE = DocPage("webhooks.md")


def test_the_commands_and_the_program_work(cli: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    for command in PAGE.blocks("sh")[0].splitlines():
        assert cli(*command.split()[1:]).status == 0, command
    (program,) = PAGE.blocks("python")
    exec(compile(program, "docs/webhooks.md", "exec"), {})
    assert capsys.readouterr().out.strip() == "True"


def test_every_event_is_on_the_page() -> None:
    assert {event for event in EVENTS if f"`{event}`" not in PAGE.text} == set()
    assert f"within {TIMEOUT_SECONDS:g} seconds" in PAGE.text
