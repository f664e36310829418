"""Sessions and runs in a database of each kind."""

from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.data.apps.runs import AppRuns
from llmos.data.apps.sessions import AppSessions
from support.apps import MovedClock
from support.encryption import open_test_encryption


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def encryption(database: Database, tmp_path: Path) -> Encryption:
    return open_test_encryption(database, tmp_path)


@pytest.fixture
def sessions(database: Database, encryption: Encryption, clock: MovedClock) -> AppSessions:
    return AppSessions(database, encryption, clock=clock)


@pytest.fixture
def runs(database: Database, encryption: Encryption, clock: MovedClock) -> AppRuns:
    return AppRuns(database, encryption, clock=clock)
