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
from support.tiny_gguf import write_gguf

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


@pytest.mark.process
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


@pytest.mark.process
def test_a_model_is_encrypted_when_it_is_imported_or_later(
    home: Path, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    scratch = tmp_path_factory.mktemp("models")
    for name, options in (("one", ("--encrypt",)), ("two", ())):
        printed(capsys, "import", str(write_gguf(scratch / f"{name}.gguf")), "--name", name, *options)
    blobs = home / "store" / "blobs" / "sha256"
    assert json.loads(printed(capsys, "show", "one", "--json"))["encrypted"]
    done = json.loads(printed(capsys, "encryption", "models", "two", "--json"))
    assert (done["versions"], done["num_files"]) == (["two@1"], 0), "the two have the same file"
    assert {path.suffix for path in blobs.iterdir()} == {".sealed"}
    assert "Encrypted files: 0 (0 B)." in printed(capsys, "encryption", "models")
    assert main(["export", "one", str(scratch / "one.tar")]) == 2
    assert "llmos export one@1 --decrypt" in " ".join(capsys.readouterr().err.split())
    printed(capsys, "export", "one", str(scratch / "one.tar"), "--decrypt")


@pytest.mark.process
def test_encrypted_models_are_discarded_with_lost_keys_and_can_be_imported_again(
    home: Path, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")
    printed(capsys, "import", str(path), "--name", "tiny", "--encrypt")
    (home / "keys" / "master").unlink()
    assert main(["show", "tiny"]) == 0
    assert "The encrypted files of tiny@1 are deleted" in printed(capsys, "encryption", "discard", "--yes")
    assert main(["doctor", "--store"]) == 1
    assert "tiny.gguf of tiny@1 is missing" in capsys.readouterr().out
    printed(capsys, "import", str(path), "--name", "tiny", "--encrypt")
    assert main(["doctor", "--store"]) == 0
