"""llmos audit, and what commands on this machine's database leave in the log."""

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from llmos.cli import main
from llmos.cli.control import port
from llmos.cli.control.recording import ACTIONS, UNRECORDED
from llmos.core.who import this_user


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        return status, *capsys.readouterr()

    return run


def entries(run: Any, *arguments: str) -> list[dict[str, Any]]:
    status, out, err = run("audit", "list", *arguments, "--json")
    assert status == 0, err
    found: list[dict[str, Any]] = json.loads(out)
    return found


def test_commands_on_this_machine_are_recorded(run: Any) -> None:
    run("project", "create", "acme")
    created = json.loads(run("key", "create", "--project", "acme", "--role", "viewer", "--json")[1])
    assert run("key", "revoke", "key-unknown")[0] == 2
    run("policy", "set", "max_size_bytes", "1000")
    policy, failed, key, project = entries(run)
    assert (project["action"], project["object"], project["user"]) == ("project.create", "acme", this_user())
    assert (key["action"], key["object"]) == ("key.create", created["id"])
    assert key["details"] == {"project": "acme", "role": "viewer"}
    assert (failed["action"], failed["object"], failed["error"]) == ("key.revoke", "key-unknown", "not_found")
    assert (policy["action"], policy["object"], policy["outcome"]) == ("policy.set", "max_size_bytes", "succeeded")
    assert created["key"] not in run("audit", "list", "--json")[1]


def test_reading_is_not_recorded(run: Any) -> None:
    for command in (("list",), ("route", "list"), ("key", "list"), ("audit", "list")):
        assert run(*command)[0] == 0
    assert entries(run) == []


def test_entries_are_selected_and_shown(run: Any) -> None:
    run("project", "create", "acme")
    run("project", "limit", "acme", "--concurrent-requests", "3")
    run("policy", "set", "max_size_bytes", "1000")
    assert [entry["action"] for entry in entries(run, "--action", "project")] == [
        "project.set_limits",
        "project.create",
    ]
    assert entries(run, "--actor", "nobody") == []
    assert len(entries(run, "--since", "1h", "--limit", "2")) == 2
    assert entries(run, "--since", "2100-01-01") == []
    status, out, _ = run("audit", "list")
    assert status == 0
    assert re.search(r"project\.set_limits\s+acme\s+succeeded", out)
    assert run("audit", "list", "--since", "soon")[0] == 2


def test_an_edit_in_the_database_is_found(run: Any, home: Path) -> None:
    for name in ("one", "two", "three"):
        run("project", "create", name)
    status, out, _ = run("audit", "verify")
    assert (status, "is intact: 3 entries" in out) == (0, True)
    with sqlite3.connect(home / "llmos.db") as database:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute("DELETE FROM audit_entries WHERE number = 2")
        database.execute("DROP TRIGGER audit_entries_no_update")
        database.execute("UPDATE audit_entries SET body = replace(body, 'two', 'ten') WHERE number = 2")
    status, out, _ = run("audit", "verify")
    assert (status, "tampered with at entry 2" in out) == (1, True)
    assert json.loads(run("audit", "verify", "--json")[1])["first_bad"] == 2


def test_a_cut_tail_is_found_with_a_checkpoint_that_was_kept(run: Any, home: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    assert run("audit", "checkpoint")[0] == 2  # There is nothing to sign yet, and that is an entry.
    run("project", "create", "one")
    status, _, err = run("audit", "checkpoint", "--output", str(kept))
    assert (status, "up to entry 2" in err) == (0, True)
    assert json.loads(kept.read_text())["number"] == 2
    with sqlite3.connect(home / "llmos.db") as database:
        for table in ("audit_entries", "audit_checkpoints"):
            database.execute(f"DROP TRIGGER {table}_no_delete")
            database.execute(f"DELETE FROM {table} WHERE number >= 2")
    for path in (home / "audit").iterdir():
        path.unlink()
    assert run("audit", "verify")[0] == 0
    status, out, _ = run("audit", "verify", "--checkpoint", str(kept))
    assert (status, "tampered with at entry" in out) == (1, True)


def test_an_export_is_verified_anywhere(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, exported, key = tmp_path / "kept.json", tmp_path / "log.jsonl", tmp_path / "key.pem"
    for name in ("one", "two"):
        run("project", "create", name)
    run("audit", "checkpoint", "--output", str(kept))
    assert run("audit", "export", "--output", str(exported))[0] == 0
    key.write_text(run("receipt", "key")[1])
    lines = exported.read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["project.create", "project.create", "audit.checkpoint"]
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path / "elsewhere"))
    verify = ("audit", "verify", "--file", str(exported), "--checkpoint", str(kept))
    status, out, err = run(*verify, "--key", str(key))
    assert (status, "signed up to entry 2" in out, err) == (0, True, "")
    status, out, err = run(*verify)
    assert (status, "signed none of it" in out, "--key FILE" in err) == (0, True, True)
    exported.write_text("\n".join([lines[0], lines[2]]))
    assert "tampered with at entry 2" in run(*verify, "--key", str(key))[1]
    exported.write_text("nonsense")
    status, _, err = run(*verify)
    assert (status, "can't be verified" in err) == (2, True)


def test_every_command_that_changes_something_is_recorded() -> None:
    for name, kind in port.ControlPort.__dict__.items():
        if not isinstance(kind, property):
            continue
        assert kind.fget is not None
        noun = getattr(port, str(kind.fget.__annotations__["return"]).rpartition(".")[2].strip("'>"), None)
        if noun is None or not noun.__name__.endswith("Port"):
            continue
        methods = {method for method in vars(noun) if not method.startswith("_")}
        assert ACTIONS.get(name, {}).keys() | set(UNRECORDED[name]) >= methods, name
