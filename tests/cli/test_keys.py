"""llmos project and llmos key, on this machine's database."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from llmos.cli import main
from llmos.security.tokens import is_token


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        return status, *capsys.readouterr()

    return run


def test_the_output_of_create_is_the_key_alone(run: Any) -> None:
    status, out, err = run("key", "create", "--name", "CI", "--expires", "90d")
    assert status == 0
    assert is_token(out.strip())
    assert "role developer, project owner" in err
    assert "can't be shown again" in err
    (key,) = json.loads(run("key", "list", "--json")[1])
    assert key["ends_with"] == out.strip()[-4:]
    assert out.strip() not in run("key", "show", key["id"])[1]


def test_a_project_its_keys_and_their_end(run: Any) -> None:
    status, out, _ = run("project", "create", "acme", "--description", "A shop")
    assert (status, out.startswith("Created acme.")) == (0, True)
    assert run("project", "create", "acme")[0] == 2
    created = json.loads(run("key", "create", "--project", "acme", "--role", "owner", "--json")[1])
    rotated = run("key", "rotate", created["id"], "--overlap", "1h")
    assert is_token(rotated[1].strip())
    assert "The old text works until" in rotated[2]
    assert "Revoked" in run("key", "revoke", created["id"])[1]
    assert run("key", "rotate", created["id"])[0] == 2
    assert run("project", "remove", "acme", "--yes")[0] == 0
    status, _, err = run("project", "show", "acme")
    assert (status, "no project 'acme'" in err) == (2, True)


def test_a_project_is_not_removed_without_a_yes(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run("project", "create", "acme")
    monkeypatch.setattr("typer.confirm", _no)
    assert run("project", "remove", "acme")[0] == 130
    assert run("project", "show", "acme")[0] == 0


@pytest.mark.parametrize(
    "command",
    [
        ("project", "remove", "acme"),
        ("user", "remove", "ann"),
        ("encryption", "discard"),
        ("forget", "--subject", "ann", "--json"),
    ],
)
def test_a_script_is_told_how_to_answer_the_question(run: Any, command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    status, _, err = run(*command)
    assert status == 2
    assert err.endswith("Error: The question wasn't answered. To run the command without questions, add --yes.\n")


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (("provider", "list"), "llmos provider add NAME --kind KIND --base-url URL"),
        (("guardrail", "list"), "llmos guardrail set NAME FILE"),
        (("user", "list"), "llmos user create NAME"),
        (("audit", "list"), "llmos audit list"),
    ],
)
def test_an_empty_list_names_the_next_command(run: Any, command: Any, advice: str) -> None:
    status, out, err = run(*command)
    assert (status, out) == (0, "")
    assert advice in err


def _no(question: str, **_: Any) -> None:
    import typer

    assert "delete all" in question
    raise typer.Abort


def test_a_name_that_leads_nowhere_is_noted(run: Any) -> None:
    run("route", "set", "dialogue", "smollm2")
    status, out, err = run("key", "create", "--route", "dialog", "--route", "dialogue")
    assert (status, is_token(out.strip())) == (0, True)
    assert "Note: there is no route or model 'dialog'; did you mean dialogue?" in err
    assert err.count("Note:") == 1
