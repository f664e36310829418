"""Files and batches in an empty home."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.data.batches import Batches
from llmos.data.files import File, Files
from support.databases import Databases
from support.encryption import open_test_encryption


@pytest.fixture(scope="module")
def shared_database(
    databases: Databases, database_kind: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """One database for all tests in a file; each test has its own tenant."""
    with databases.create(database_kind, tmp_path_factory.mktemp("data")) as url:
        database = Database(url)
        yield database
        database.close()


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    return name[:64]


@pytest.fixture(scope="module")
def encryption(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Encryption:
    return open_test_encryption(shared_database, tmp_path_factory.mktemp("keys"))


@pytest.fixture
def files(shared_database: Database, encryption: Encryption, tmp_path: Path) -> Files:
    return Files(shared_database, tmp_path / "files", encryption)


@pytest.fixture
def batches(shared_database: Database, files: Files) -> Batches:
    return Batches(shared_database, files)


@pytest.fixture
def upload(files: Files, tenant: str) -> Callable[..., File]:
    def upload(content: bytes = b"{}\n", *, owner: str = tenant, purpose: str = "batch") -> File:
        incoming = files.begin()
        incoming.write(content)
        return files.finish(incoming, tenant=owner, purpose=purpose, filename="lines.jsonl")

    return upload
