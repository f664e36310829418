"""AuditLog: the log of an installation. It can only grow.

The entry of a change is stored by the transaction that makes the change, so there is never one without the other.
Transactions that write wait for one another, on SQLite and on PostgreSQL, also those of other servers: an entry is
always chained to the one before it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import event
from sqlalchemy.orm import Session

from llmos.core.actions import Action, current_action, decisions_of
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.schemas.audit import AuditEntryDescription
from llmos.security.audit import queries
from llmos.security.audit.entries import NO_HASH, Event, describe, event_of, export_line, render_time, seal
from llmos.security.audit.tables import AuditRow

MAX_LISTED = 1000


class AuditLog:
    """Any thread and any process may use it."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self.database, self.clock = database, clock

    def attach(self) -> None:
        """Have the transactions of the database record the actions that they belong to. See core/actions.py."""
        self.database.before_commit.append(self._record_in)

    def record(self, events: Sequence[Event]) -> None:
        """Store entries that belong to no other transaction."""
        with self.database.transaction(frees_space=True) as session:
            for each in events:
                self._append(session, each)

    def list(
        self,
        *,
        project: str | None = None,
        since: datetime | None = None,
        actor: str | None = None,
        action: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEntryDescription]:
        """Return the newest entries first. `action`: one, such as key.revoke, or a noun. `before`: the number of an
        entry: only older ones."""
        texts = [each for each in (project, actor, action) if each is not None]
        if any("\0" in text for text in texts):
            return []  # PostgreSQL refuses such a text, and no entry has it.
        with self.database.session() as session:
            rows = queries.newest(
                session,
                project=project,
                since=None if since is None else render_time(since),
                actor=actor,
                action=action,
                before=before,
                limit=limit,
            )
            return [describe(row.body, row.hash) for row in rows]

    def num_entries(self) -> int:
        with self.database.session() as session:
            last = queries.last_entry(session)
            return 0 if last is None else last.number

    @contextmanager
    def reading(self) -> Iterator[Iterator[AuditRow]]:
        """Read every entry in order, as the log is at this moment."""
        with self.database.session() as session:
            yield queries.all_entries(session)

    def export(self) -> Iterator[bytes]:
        """Yield every entry in order, each as a line of JSON that ends with a line break."""
        with self.reading() as entries:
            for entry in entries:
                yield export_line(entry.body, entry.hash)

    def _record_in(self, session: Session) -> None:
        """Add the entries of the current action, and of the server's own decisions, to a transaction."""
        for decision in decisions_of(session):
            self._append(session, event_of(decision, "succeeded"))
        action = current_action()
        if action is None:
            return
        self._append(session, event_of(action, "succeeded"))

        def on_commit(_: Session) -> None:
            _mark(action)

        event.listen(session, "after_commit", on_commit, once=True)

    def _append(self, session: Session, event: Event) -> None:
        last = queries.last_entry(session)
        number, previous = (1, NO_HASH) if last is None else (last.number + 1, last.hash)
        sealed = seal(event, number, previous, self.clock())
        row = AuditRow(
            number=number,
            time=sealed.time,
            action=event.action,
            actor=event.actor,
            project=event.project,
            body=sealed.body,
            hash=sealed.hash,
        )
        session.add(row)
        session.flush()


def _mark(action: Action) -> None:
    action.is_recorded = True
