"""docs/conversations.md and docs/feedback.md: their programs and commands do what they say, with the real model."""

import json
import shlex

import pytest

from llmos.cli import main
from support.doc_pages import DocPage
from support.real_server import KEY, Running

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def _environment(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", running.url)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)


def test_the_program_about_conversations_works(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = DocPage("conversations.md").blocks("python")
    names: dict[str, object] = {}
    exec(compile(program, "docs/conversations.md", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    id = names["conversation"].id  # type: ignore[attr-defined]
    assert main(["conversation", "list", "warm", "-n", "1"]) == 0
    assert main(["conversation", "show", id]) == 0
    printed = capsys.readouterr().out
    assert main(["conversation", "rm", id]) == 0
    assert said[0] == "0 None user Name three colors."
    assert said[1].startswith("1 0 assistant ")
    assert "2 None user Name three warm colors." in said
    assert said[-1].startswith("Colors ")
    assert "user: Name three warm colors." in printed


def test_the_program_and_the_commands_about_feedback_work(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = DocPage("feedback.md").blocks("python")
    names: dict[str, object] = {}
    exec(compile(program, "docs/feedback.md", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith(" down Vienna.")
    assert said[-1] == "corrections@1 preference 1"
    assert main(["dataset", "rm", "corrections"]) == 0
    (commands,) = DocPage("feedback.md").blocks("sh")
    capsys.readouterr()
    for command in commands.splitlines():
        program, *arguments = shlex.split(command)
        assert program == "llmos"
        assert main(arguments) == 0
    assert "1 row of the kind chat." in capsys.readouterr().out
    assert main(["dataset", "rm", "corrections"]) == 0
    capsys.readouterr()
    assert main(["feedback", "list", "--json"]) == 0
    for each in json.loads(capsys.readouterr().out):
        assert main(["feedback", "rm", each["id"]]) == 0
