"""OpenRun and OpenSession: rows with their keys, as one statement reads them. They last as long as its transaction."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.encryption import Encryption
from llmos.core.errors import NotFound
from llmos.data.apps import queries
from llmos.data.apps.sealing import unwrapped
from llmos.data.apps.tables import RunRow, SessionRow
from llmos.data.retention import Retention


@dataclass(frozen=True, slots=True)
class OpenRun:
    row: RunRow
    key: DataKey
    retention: Retention = field(default_factory=Retention)
    has_signals: bool = False


@dataclass(frozen=True, slots=True)
class OpenSession:
    row: SessionRow
    key: DataKey


def open_run(
    session: Session, encryption: Encryption, project: str, id: str, now: datetime, *, lock: bool = False
) -> OpenRun:
    """Raises NotFound for an unknown or expired run, and for another project's."""
    found = queries.run_with_key(session, project, id, now, lock=lock)
    if found is None:
        raise NotFound(f"There is no run {id[:80]!r}. Runs are stored as long as the project stores responses.")
    row, key_row, retention, has_signals = found
    return OpenRun(row, unwrapped(encryption, key_row, id), Retention.of(retention), has_signals)


def find_session(
    session: Session, encryption: Encryption, project: str, id: str, now: datetime, *, lock: bool = False
) -> OpenSession | None:
    """Return None for an unknown or expired session, and for another project's."""
    found = queries.session_with_key(session, project, id, now, lock=lock)
    return None if found is None else OpenSession(found[0], unwrapped(encryption, found[1], id))


def open_session(
    session: Session, encryption: Encryption, project: str, id: str, now: datetime, *, lock: bool = False
) -> OpenSession:
    """Raises NotFound where find_session() returns None."""
    found = find_session(session, encryption, project, id, now, lock=lock)
    if found is None:
        raise _no_session(id)
    return found


def lock_session(session: Session, project: str, id: str, now: datetime) -> None:
    """Lock a session until the transaction ends, without its key. Raises NotFound where find_session() returns None."""
    if queries.session_with_key(session, project, id, now, lock=True) is None:
        raise _no_session(id)


def _no_session(id: str) -> NotFound:
    return NotFound(f"There is no session {id[:80]!r}. Sessions are stored as long as the project stores responses.")
