"""Fixtures: datasets in an empty store, on each kind of database. The conftest.py of a folder imports what it needs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.core.store.store import Store
from llmos.data.datasets.datasets import Datasets, ProjectDatasets
from llmos.data.datasets.rows import Row
from llmos.data.datasets.versions import DatasetVersion
from support.encryption import open_test_store
from support.operating import text_row


@pytest.fixture
def store(database: Database, tmp_path: Path) -> Store:
    return open_test_store(database, tmp_path)


@pytest.fixture
def all_datasets(database: Database, store: Store) -> Datasets:
    return Datasets(database, store)


@pytest.fixture
def datasets(all_datasets: Datasets) -> ProjectDatasets:
    return all_datasets.of()


@pytest.fixture
def write(datasets: ProjectDatasets) -> Callable[..., DatasetVersion]:
    """Return a function that makes a version of texts, or of rows."""

    def write(*rows: str | Row, name: str = "notes", **draft: object) -> DatasetVersion:
        with datasets.writing(name, "text", source="test", **draft) as writer:
            for row in rows:
                writer.add(text_row(row) if isinstance(row, str) else row)
            return writer.finish()

    return write
