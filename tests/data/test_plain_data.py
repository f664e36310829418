"""Data that an earlier version kept plain: it is read, and is encrypted without a loss at any point."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from llmos.core.database import Database
from llmos.core.encryption.sealed_file import is_sealed
from llmos.data.files import Files
from llmos.data.plain_data import PlainData
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.data.tables import FileRow, ResponseRow
from support.datasets import datasets_beside
from support.encryption import open_test_encryption

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def files(database: Database, tmp_path: Path) -> Files:
    return Files(database, tmp_path / "files", open_test_encryption(database, tmp_path))


@pytest.fixture
def responses(database: Database, files: Files) -> KeptResponses:
    return KeptResponses(database, files.encryption, clock=lambda: NOW)


@pytest.fixture
def plain(database: Database, files: Files) -> PlainData:
    """Two responses and two files, as an earlier version has kept them."""
    files.folder.mkdir()
    with database.transaction() as session:
        for index in range(2):
            id, later = f"{index}", NOW + timedelta(days=30)
            row = ResponseRow(id=f"resp_{id}", tenant="acme", created_at=NOW, expires_at=later)
            row.body, row.items = f'"a marker {id}"', "[]"
            file = FileRow(id=f"file-{id}", tenant="acme", purpose="batch", filename="a", size=8 * 3, created_at=NOW)
            session.add_all([row, file])
            files.path(file.id).write_bytes(b"a marker" * 3)
    return PlainData(files, datasets_beside(files))


def check(files: Files, responses: KeptResponses) -> None:
    for index in range(2):
        assert responses.get("acme", f"resp_{index}") == KeptResponse(
            id=f"resp_{index}", body=f'"a marker {index}"', items="[]"
        )
        with files.open(f"file-{index}") as content:
            assert content.read() == b"a marker" * 3


def test_it_is_read_and_then_encrypted(
    plain: PlainData, files: Files, responses: KeptResponses, database: Database
) -> None:
    check(files, responses)
    assert plain.count() == 4
    assert plain.encrypt() == 4
    assert plain.count() == plain.encrypt() == 0
    check(files, responses)
    for index in range(2):
        assert is_sealed(files.path(f"file-{index}"))
        assert b"marker" not in files.path(f"file-{index}").read_bytes()
    with database.session() as session:
        assert session.scalars(text("SELECT body FROM responses")).all() == ["", ""]


def test_a_crash_before_the_encrypted_copy_takes_its_place_loses_nothing(
    plain: PlainData, files: Files, responses: KeptResponses, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            plain.encrypt()
    check(files, responses)
    assert plain.encrypt() == 2
    check(files, responses)
    assert sorted(path.name for path in files.folder.iterdir()) == ["file-0", "file-1"]


def test_a_file_that_is_missing_on_the_disk_is_left_out(plain: PlainData, files: Files) -> None:
    files.path("file-0").unlink()
    assert plain.encrypt() == 3
