"""What every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from llmos.core.database import Database
from llmos.models.transfer.transfers import Transfers
from support.databases import KINDS, Databases
from support.query_coverage import QueryCoverage

# No deadline for an example: on a busy machine it says nothing about the code.
settings.register_profile("llmos", deadline=None)
settings.load_profile("llmos")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run test_databases.py last, and only in a run of the whole suite."""
    last = [item for item in items if item.path.name == "test_databases.py"]
    items[:] = [item for item in items if item not in last]
    runs_all = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.getoption("keyword")
    items.extend(last if runs_all else [])


@pytest.fixture(scope="session", autouse=True)
def query_coverage() -> QueryCoverage:
    """The functions that run statements in this test run."""
    return QueryCoverage()


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    databases = Databases(tmp_path_factory.mktemp("databases"))
    yield databases
    databases.close()


@pytest.fixture(scope="module", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    """The kinds of databases. A test that uses a database runs once for each kind."""
    kind: str = request.param
    return kind


@pytest.fixture
def database_url(databases: Databases, database_kind: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a new database with empty tables."""
    with databases.create(database_kind, tmp_path / "database") as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def smollm2_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real model's GGUF file, pulled once through our own code (or named by LLMOS_TEST_SMOLLM2)."""
    named = os.environ.get("LLMOS_TEST_SMOLLM2")
    if named:
        return Path(named)
    from llmos.core.config import load_settings
    from llmos.models import open_registry

    home = os.environ.get("LLMOS_TEST_HOME") or str(tmp_path_factory.mktemp("home"))
    registry = open_registry(load_settings({"LLMOS_HOME": home}))
    version = Transfers(registry).pull_from_catalog("smollm2")
    return next(path for name, path in registry.files(version).items() if name.endswith(".gguf"))
