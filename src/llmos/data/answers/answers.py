"""Answers: the facts of calls, kept for some time, found by many things.

They are stored together with the receipts, in one transaction for all calls of a moment.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, NotFound
from llmos.core.money import format_nanos
from llmos.core.removal import remove_in_parts
from llmos.core.schemas.answers import AnswerPage, AnswerSummary, AnswerTimings
from llmos.core.statements import PlainTransaction, Values
from llmos.data.answers import queries
from llmos.data.answers.filters import AnswerFilter, Place
from llmos.data.answers.tables import AnswerRow

MAX_KEPT = 1_000_000
"""The limit of an installation, about 500 MB with their indexes. The oldest go first."""

_REMOVED_AT_ONCE = 5_000
_PLACE = re.compile(r"(\d{1,12})-(\d{1,18})", re.ASCII)
_SAME = (
    "id", "request_id", "project", "key_id", "user", "asked", "route", "version", "app", "operation", "outcome",
    "error", "verdict", "num_attempts", "input_tokens", "cached_input_tokens", "output_tokens", "currency",
    "price_version", "run",
)  # fmt: skip


class Answers:
    """Any thread and any process may use it."""

    def __init__(self, database: Database, *, days: int, max_kept: int = MAX_KEPT, clock: Clock = utc_now) -> None:
        """`days`: how long they are kept; 0: not at all."""
        self._database, self._clock = database, clock
        self._days, self._max_kept = days, max_kept

    @property
    def keeps(self) -> bool:
        return self._days > 0

    def add(self, transaction: PlainTransaction, facts: Sequence[Values]) -> None:
        """Store the facts of calls, each with the columns of the table, in a transaction."""
        if facts and self.keeps:
            queries.add(transaction, facts)

    def list(self, wanted: AnswerFilter) -> AnswerPage:
        """Return a page, newest first. Raises BadRequest."""
        found = self.find(wanted)
        is_full = len(found) == wanted.limit
        return AnswerPage(data=[answer for _, answer in found], next=found[-1][0] if is_full else None)

    def find(self, wanted: AnswerFilter) -> Sequence[tuple[str, AnswerSummary]]:
        """Return answers, newest first, each with the `next` of a page that ends with it. Raises BadRequest."""
        wanted.check()
        with self._database.session() as session:
            rows = queries.find(session, wanted)
        return [(_place_of(row), _summary(row)) for row in rows]

    def get(self, id: str, *, project: str | None = None) -> AnswerSummary:
        """Return an answer, by its id or that of its request. `project`: only if it belongs to this one.

        Raises NotFound.
        """
        with self._database.session() as session:
            row = queries.newest(session, id, project) if id.isprintable() else None
        if row is None:
            kept = f"Answers are kept for {self._days} days" if self.keeps else "This server keeps no answers"
            raise NotFound(f"There is no answer {id[:80]!r}. {kept}.", param="id")
        return _summary(row)

    def forget(self, project: str, user: str) -> int:
        """Take the name of an end user away. Return how many answers were theirs."""
        with self._database.transaction() as session:
            return queries.forget_user(session, project, user)

    def projects_of(self, user: str) -> Sequence[str]:
        """Return the projects with answers for an end user."""
        with self._database.session() as session:
            return queries.projects_with_user(session, user)

    def remove_old(self) -> int:
        """Remove what is kept no longer, a part at a time, and return how many there were."""
        before = int((self._clock() - timedelta(days=self._days)).timestamp())
        with self._database.session() as session:
            below = queries.oldest_kept(session, before, self._max_kept)
        return remove_in_parts(self._database, lambda session: queries.remove_some(session, below, _REMOVED_AT_ONCE))


def read_place(text: str) -> Place:
    """Return the place that a page's `next` stands for. Raises BadRequest."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise BadRequest(f"`after` is {text[:80]!r}. Send what `next` was in the page before.", param="after")
    return int(match[1]), int(match[2])


def _place_of(row: AnswerRow) -> str:
    return f"{row.at}-{row.number}"


def _summary(row: AnswerRow) -> AnswerSummary:
    return AnswerSummary(
        **{name: getattr(row, name) for name in _SAME},
        at=datetime.fromtimestamp(row.at, UTC),
        cost=None if row.cost_nanos is None else format_nanos(row.cost_nanos),
        timings=AnswerTimings(
            guardrails=row.guardrail_micros / 1e6,
            load=row.load_micros / 1e6,
            queue=row.queue_micros / 1e6,
            prefill=row.prefill_micros / 1e6,
            decode=row.decode_micros / 1e6,
            first_token=None if row.first_token_micros is None else row.first_token_micros / 1e6,
            total=row.total_micros / 1e6,
            replica=row.replica_micros / 1e6,
        ),
    )
