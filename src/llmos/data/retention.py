"""Retention: how long what is kept for a project stays.

default    responses, conversations, feedback, sessions and runs of applications 30 days; files and batches until
           somebody deletes them
30d        the same, files and ended batches, that many days
forever    until somebody deletes them
nothing    nothing is kept: responses aren't stored, files can't be uploaded, and there are no conversations, sessions
           and runs
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict
from llmos.data import queries
from llmos.data.apps import queries as app_queries
from llmos.data.conversations import queries as conversation_queries
from llmos.data.feedback import queries as feedback_queries
from llmos.data.tables import RetentionRow

MAX_DAYS = 36_500

_DEFAULT_RESPONSE_DAYS = 30
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
_DAYS = re.compile(r"([0-9]{1,5})d")


@dataclass(frozen=True, slots=True)
class Retention:
    text: str = "default"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises BadRequest for a text that is none."""
        days = _DAYS.fullmatch(text)
        if text in ("default", "forever", "nothing") or (days is not None and 1 <= int(days[1]) <= MAX_DAYS):
            return cls(text if days is None else f"{int(days[1])}d")
        raise BadRequest(
            f"`retention` is {text[:80]!r}; it takes default, forever, nothing, or up to {MAX_DAYS:,} days, as in 30d.",
            param="retention",
        )

    @classmethod
    def of(cls, text: str | None) -> Self:
        """Return the retention of a project, from the text that is kept if it has set one."""
        return cls() if text is None else cls(text)

    @property
    def keeps_nothing(self) -> bool:
        return self.text == "nothing"

    @property
    def days(self) -> int | None:
        """The days that everything stays; None if they aren't limited alike."""
        return int(self.text[:-1]) if self.text.endswith("d") else None

    def response_expires_at(self, created_at: datetime) -> datetime:
        if self.text == "forever":
            return _NEVER
        return created_at + timedelta(days=self.days or (0 if self.keeps_nothing else _DEFAULT_RESPONSE_DAYS))


class Retentions:
    """The retention of every project. Any thread may use it."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock

    def of(self, project: str) -> Retention:
        with self._database.session() as session:
            return Retention.of(app_queries.retention_of(session, project))

    def all(self) -> dict[str, Retention]:
        """Return {project: its retention} of those that have one of their own."""
        with self._database.session() as session:
            return {row.project: Retention(row.retention) for row in queries.retentions(session)}

    def set(self, project: str, retention: Retention, *, actor: str | None = None) -> None:
        """Set it, also for the responses, conversations, sessions and runs that are kept already.

        Files and batches follow with the next sweep.
        """
        with self._database.transaction() as session:
            row = session.get(RetentionRow, project)
            if row is None:
                row = RetentionRow(project=project)
                session.add(row)
            row.retention, row.changed_at, row.changed_by = retention.text, self._clock(), actor
            for response in queries.responses_of(session, project):
                response.expires_at = retention.response_expires_at(response.created_at)
            app_queries.set_expiry(session, project, retention.response_expires_at)
            conversation_queries.set_expiry(session, project, retention.response_expires_at)
            feedback_queries.set_expiry(session, project, retention.response_expires_at)

    def check_keeps(self, project: str) -> None:
        """Raise Conflict if nothing is kept for the project."""
        if self.of(project).keeps_nothing:
            raise Conflict(
                f"The project {project} stores no data, so it accepts no files and no batches. To change that, run:"
                f" llmos project retention {project} --default"
            )
