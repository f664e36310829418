"""Feedback, and datasets whose store has the same keys, on each kind of database."""

from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.store.blob_keys import BlobKeys
from llmos.core.store.store import Store
from llmos.data.datasets.datasets import Datasets
from llmos.data.feedback.feedback import Feedback
from support.apps import MovedClock
from support.encryption import open_test_encryption


@pytest.fixture
def encryption(database: Database, tmp_path: Path) -> Encryption:
    return open_test_encryption(database, tmp_path)


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def feedback(database: Database, encryption: Encryption, clock: MovedClock) -> Feedback:
    return Feedback(database, encryption, clock=clock)


@pytest.fixture
def all_datasets(database: Database, encryption: Encryption, tmp_path: Path) -> Datasets:
    encryption.start()
    return Datasets(database, Store(tmp_path / "store", BlobKeys(database, lambda: encryption)))
