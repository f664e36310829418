"""llmos user, on this machine's database."""

import json
from typing import Any

import pytest

PASSWORD = "correct horse battery staple"


def test_a_user_from_creation_to_removal(cli: Any) -> None:
    created = cli("user", "create", "ann", "--role", "owner", stdin=f"{PASSWORD}\n")
    assert (created.status, created.out) == (0, "Created ann, role owner, project owner.\n")
    (user,) = json.loads(cli("user", "list", "--json").out)
    assert (user["name"], user["role"], user["has_password"], user["num_sessions"]) == ("ann", "owner", True, 0)
    assert "ended" in cli("user", "set-password", "ann", stdin="another password entirely\n").out
    assert "the role viewer in the project owner now" in cli("user", "set-role", "ann", "--role", "viewer").out
    assert "llmos user enable ann" in cli("user", "disable", "ann").out
    assert cli("user", "enable", "ann").status == 0
    assert cli("user", "sign-out", "ann").out == "Ended 0 sessions of ann.\n"
    assert "argon2" not in cli("user", "show", "ann").out
    assert cli("user", "remove", "ann", "--yes").status == 0
    missing = cli("user", "show", "ann")
    assert (missing.status, "no user 'ann'" in missing.err) == (2, True)


def test_the_password_comes_from_outside_of_the_command_line(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = cli("user", "create", "ann")
    assert (empty.status, "no password on standard input" in empty.err) == (2, True)
    monkeypatch.setenv("ANNS_PASSWORD", PASSWORD)
    assert cli("user", "create", "ann", "--password-from-env", "ANNS_PASSWORD").status == 0
    assert cli("user", "create", "bob", "--password-from-env", "UNSET").status == 2
    short = cli("user", "create", "bob", stdin="short\n")
    assert (short.status, "takes 12 to" in short.err) == (2, True)
    later = cli("user", "create", "bob", "--no-password")
    assert "llmos user set-password bob" in later.out
    assert cli("user", "create", "carl", PASSWORD).status == 2


def test_a_user_is_not_removed_without_a_yes(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import typer

    def no(question: str, **_: Any) -> None:
        assert "can't be given again" in question
        raise typer.Abort

    cli("user", "create", "ann", "--no-password")
    monkeypatch.setattr("typer.confirm", no)
    assert cli("user", "remove", "ann").status == 130
    assert cli("user", "show", "ann").status == 0
