"""Projects, keys and an audit log in a database of each kind, and a clock that tests turn."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.data.files import Files
from llmos.data.project_data import ProjectData
from llmos.security.audit.audit import Audit
from llmos.security.audit.checkpoints import Checkpoints
from llmos.security.audit.log import AuditLog
from llmos.security.audit.recorder import AuditRecorder
from llmos.security.keys import Keys
from llmos.security.projects import Projects
from llmos.security.signing_key import SigningKey
from llmos.security.tokens import Pepper
from support.datasets import datasets_beside
from support.encryption import open_test_encryption
from support.turned_clock import Clock


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
    return Projects(database, ProjectData(database, files, [datasets_beside(files)]), clock=clock)


@pytest.fixture
def signing_key(tmp_path: Path) -> SigningKey:
    return SigningKey(tmp_path / "keys" / "signing")


@pytest.fixture
def audit(database: Database, signing_key: SigningKey, clock: Clock, tmp_path: Path) -> Iterator[Audit]:
    """The audit log of the database, attached to it."""
    log = AuditLog(database, clock=clock)
    log.attach()
    recorder = AuditRecorder(log, monotonic=clock.monotonic)
    checkpoints = Checkpoints(log, signing_key, tmp_path / "audit" / "checkpoints.jsonl")
    yield Audit(log=log, recorder=recorder, checkpoints=checkpoints)
    recorder.close()
