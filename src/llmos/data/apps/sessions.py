"""AppSessions: the conversations of applications, as whole turns, encrypted.

A session belongs to one application of one project, which finds it again by a name of its own, such as a user's id.
"""

import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.tables import ObjectSubjectRow
from llmos.core.errors import BadRequest, Conflict
from llmos.core.ids import new_id
from llmos.core.names import check_name
from llmos.core.schemas.sessions import AppSessionDescription, TurnDescription
from llmos.core.schemas.turns import Message, check_turn
from llmos.data.apps import queries
from llmos.data.apps.opened import OpenSession, open_session
from llmos.data.apps.sealing import existing_key, seal, unseal
from llmos.data.apps.tables import SessionRow, TurnRow
from llmos.data.retention import Retentions


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The part of a session that prompts still have."""

    first_turn: int
    summary: str | None = None
    """The summary of the turns before `first_turn`."""


class AppSessions:
    """The sessions of all projects. A project can't see or detect those of others. Any thread may use it."""

    def __init__(self, database: Database, encryption: Encryption, *, clock: Clock = utc_now) -> None:
        self._database, self._encryption, self._clock = database, encryption, clock
        self._retentions = Retentions(database, clock=clock)

    def open(self, project: str, app: str, name: str, *, user: str = "") -> AppSessionDescription:
        """Return the application's session with this name, which is created if there is none.

        `user`: what requests call the person whose data it has. Raises Conflict if the project keeps nothing.
        """
        check_name(app, "an app")
        retention = self._retentions.of(project)
        if retention.keeps_nothing:
            raise Conflict(keeps_nothing(project, "sessions"))
        ring, now, id = self._encryption.ring, self._clock(), new_id("session")
        hmac = ring.index("session", project, f"{app}\n{name}")
        with self._database.session() as session:
            if (row := queries.session_named(session, project, app, hmac)) is not None and row.expires_at > now:
                return self._described(session, self._opened(session, row))
        subjects = [ring.index("subject", project, user)] if user else []
        key = self._encryption.new_key(id)
        key_row = self._encryption.wrap(key, project, subjects=subjects)
        with self._database.transaction() as session:
            row = queries.session_named(session, project, app, hmac)
            if row is not None and row.expires_at <= now:
                queries.remove_sessions(session, [row.id])
                row = None
            if row is None:
                row = SessionRow(id=id, project=project, app=app, name=hmac, num_turns=0, num_tokens=0, first_turn=0)
                row.sealed = seal(key, [name, None], "session")
                row.created_at = row.updated_at = now
                row.expires_at = retention.response_expires_at(now)
                session.add_all([key_row, row])
                session.add_all([ObjectSubjectRow(object_id=id, subject=each, project=project) for each in subjects])
                session.flush()
            return self._described(session, self._opened(session, row))

    def get(self, project: str, id: str) -> AppSessionDescription:
        """Raises NotFound for an unknown or expired one, and for another project's."""
        with self._database.session() as session:
            return self._described(session, self._existing(session, project, id))

    def list(
        self, project: str, *, app: str | None = None, after: str | None = None, limit: int = 100
    ) -> builtins.list[AppSessionDescription]:
        """Return sessions, newest first, beginning behind the session `after`."""
        now = self._clock()
        with self._database.session() as session:
            before = None if after is None else self._existing(session, project, after).row.number
            rows = queries.sessions_page(session, project, now, app=app, before=before, limit=limit)
            return [self._described(session, self._opened(session, row)) for row in rows]

    def turns(
        self, project: str, id: str, *, first: int = 0, before: int | None = None, limit: int = 100
    ) -> Sequence[TurnDescription]:
        """Return the newest `limit` turns from `first` on and before `before`, oldest first."""
        with self._database.session() as session:
            found = self._existing(session, project, id)
            last = found.row.num_turns if before is None else before
            return [_turn(found.key, each) for each in queries.turns(session, id, first, last, limit)]

    def append(self, project: str, id: str, messages: Sequence[Message]) -> AppSessionDescription:
        """Append one whole turn. Raises BadRequest for messages that aren't one, and Conflict while a run is in it."""
        check_turn(messages)
        now, retention = self._clock(), self._retentions.of(project)
        with self._database.transaction() as session:
            found = self._existing(session, project, id, lock=True)
            if (run := queries.live_run_of(session, id)) is not None:
                raise Conflict(f"The run {run.id} is in this session. Wait until it has ended, or cancel it.")
            append_turn(session, found, messages, now=now)
            found.row.expires_at = retention.response_expires_at(now)
            return self._described(session, found)

    def set_window(self, project: str, id: str, window: Window) -> AppSessionDescription:
        """Let prompts begin with a later turn. Raises BadRequest for one that isn't there."""
        with self._database.transaction() as session:
            found = self._existing(session, project, id, lock=True)
            row = found.row
            if not row.first_turn <= window.first_turn <= row.num_turns:
                raise BadRequest(
                    f"`first_turn` is {window.first_turn}; it takes {row.first_turn} to {row.num_turns}.",
                    param="first_turn",
                )
            name, _ = unseal(found.key, row.sealed, "session")
            row.sealed, row.first_turn = seal(found.key, [name, window.summary], "session"), window.first_turn
            return self._described(session, found)

    def remove(self, project: str, id: str) -> None:
        """Delete a session with its turns and runs. Raises NotFound as get() does."""
        with self._database.transaction(frees_space=True) as session:
            self._existing(session, project, id, lock=True)
            queries.remove_sessions(session, [id])

    def _existing(self, session: Session, project: str, id: str, *, lock: bool = False) -> OpenSession:
        return open_session(session, self._encryption, project, id, self._clock(), lock=lock)

    def _opened(self, session: Session, row: SessionRow) -> OpenSession:
        return OpenSession(row, existing_key(self._encryption, session, row.id))

    def _described(self, session: Session, found: OpenSession) -> AppSessionDescription:
        row = found.row
        name, summary = unseal(found.key, row.sealed, "session")
        return AppSessionDescription(
            id=row.id,
            app=row.app,
            name=name,
            num_turns=row.num_turns,
            num_tokens=row.num_tokens,
            first_turn=row.first_turn,
            summary=summary,
            live_run=queries.live_runs_of(session, [row.id]).get(row.id),
            created_at=row.created_at,
            updated_at=row.updated_at,
            expires_at=row.expires_at,
        )


def append_turn(
    session: Session, found: OpenSession, messages: Sequence[Message], *, now: datetime, run_id: str | None = None
) -> None:
    """Add a whole turn to a session that is locked."""
    row = found.row
    sealed = seal(found.key, messages, f"turn {row.num_turns}")
    session.add(TurnRow(session_id=row.id, index=row.num_turns, run_id=run_id, sealed=sealed, created_at=now))
    row.num_turns, row.updated_at = row.num_turns + 1, now


def keeps_nothing(project: str, what: str) -> str:
    """Return the message for a project that has no sessions and runs."""
    return (
        f"The project {project} stores no data, so it has no {what}. To change that, run:"
        f" llmos project retention {project} --default"
    )


def _turn(key: DataKey, row: TurnRow) -> TurnDescription:
    messages = unseal(key, row.sealed, f"turn {row.index}")
    return TurnDescription(index=row.index, run=row.run_id, messages=messages, created_at=row.created_at)
