"""Projects and keys in a database of each kind, and a clock that tests turn."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.data.files import Files
from llmos.data.project_data import ProjectData
from llmos.security.keys import Keys
from llmos.security.projects import Projects
from llmos.security.tokens import Pepper
from support.encryption import open_test_encryption


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime(2026, 11, 1, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def advance(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(database: Database, tmp_path: Path, clock: Clock) -> Keys:
    return Keys(database, Pepper(tmp_path / "keys" / "pepper"), clock=clock)


@pytest.fixture
def files(database: Database, tmp_path: Path) -> Files:
    return Files(database, tmp_path / "files", open_test_encryption(database, tmp_path))


@pytest.fixture
def projects(database: Database, files: Files, clock: Clock) -> Projects:
    return Projects(database, ProjectData(database, files), clock=clock)
