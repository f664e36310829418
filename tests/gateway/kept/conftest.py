"""Fixtures of what is kept, on every kind of database; the other tests of the gateway use SQLite alone."""

from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.data.files import Files
from llmos.data.responses import KeptResponses
from support.databases import KINDS
from support.encryption import open_test_encryption


@pytest.fixture(scope="module", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def files(database: Database, tmp_path: Path) -> Files:
    return Files(database, tmp_path / "files", open_test_encryption(database, tmp_path))


@pytest.fixture
def responses(database: Database, files: Files) -> KeptResponses:
    return KeptResponses(database, files.encryption)
