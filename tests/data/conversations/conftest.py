"""Conversations in a database of each kind."""

from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.data.conversations.conversations import Conversations
from support.apps import MovedClock
from support.encryption import open_test_encryption


@pytest.fixture
def encryption(database: Database, tmp_path: Path) -> Encryption:
    return open_test_encryption(database, tmp_path)


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def conversations(database: Database, encryption: Encryption, clock: MovedClock) -> Conversations:
    return Conversations(database, encryption, clock=clock)
