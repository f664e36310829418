"""llmos encryption: on this machine's database, also when a key is lost."""

import json
from pathlib import Path

import pytest

from llmos.cli import main
from llmos.core.config import load_settings
from llmos.core.database import Database
from llmos.core.encryption.opening import open_encryption
from llmos.data.files import Files
from llmos.data.responses import KeptResponse, KeptResponses

KEPT = KeptResponse(id="resp_1", body='"a body"', items="[]")


def responses_in(home: Path) -> KeptResponses:
    settings = load_settings({"LLMOS_HOME": str(home)})
    database = Database(settings.database_url)
    database.upgrade()
    return KeptResponses(database, open_encryption(settings, database))


def printed(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    capsys.readouterr()
    assert main(list(command)) == 0
    return capsys.readouterr().out


def test_a_rotation_is_said_and_loses_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    responses_in(home).keep("owner", KEPT)
    before = json.loads(printed(capsys, "encryption", "status", "--json"))
    assert before["master_key"] == str(home / "keys" / "master")
    assert before["master_key_id"] in printed(capsys, "encryption", "status")
    assert "Backups of the key ring from before need the old one" in printed(capsys, "encryption", "rotate")
    assert "owner has a new key" in printed(capsys, "encryption", "rotate", "--project", "owner")
    assert json.loads(printed(capsys, "encryption", "status", "--json"))["master_key_id"] != before["master_key_id"]
    assert responses_in(home).get("owner", "resp_1") == KEPT


def test_a_lost_master_key_is_named_and_what_it_encrypted_can_be_discarded(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    responses = responses_in(home)
    responses.keep("owner", KEPT)
    files = Files(responses._database, home / "files", responses._encryption)
    upload = files.begin()
    upload.write(b"{}\n")
    files.finish(upload, tenant="owner", purpose="batch", filename="a")
    (home / "keys" / "master").unlink()
    for command in (["encryption", "status"], ["encryption", "rotate"]):
        assert main(command) == 2
        assert "llmos encryption discard" in capsys.readouterr().err
    main(["doctor"])
    assert "master is missing" in " ".join(capsys.readouterr().out.split())
    assert "Deleted encrypted objects: 2" in printed(capsys, "encryption", "discard", "--yes")
    assert list((home / "files").iterdir()) == []
    again = responses_in(home)
    again.keep("owner", KEPT)
    assert again.get("owner", "resp_1") == KEPT
