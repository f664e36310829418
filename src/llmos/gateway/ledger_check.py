"""LedgerCheck: compares the entries of the ledger with their sums by hour and day, with receipts and with reversals."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from llmos.billing import queries
from llmos.billing.entries import MEASURES
from llmos.billing.ledger import SUMMED
from llmos.billing.refused import RefusedEntries
from llmos.billing.spill import Spill
from llmos.billing.sums import DAY, DIMENSIONS, HOUR, sums_of
from llmos.billing.tables import LedgerRow
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest
from llmos.core.money import format_nanos
from llmos.core.schemas.ledger_verification import LedgerProblem, LedgerVerification
from llmos.core.schemas.receipts import ReceiptDescription
from llmos.gateway.receipt_recovery import GRACE_SECONDS, metered
from llmos.security.receipts.receipts import Receipts

DEFAULT_DAYS = 30

MAX_PROBLEMS = 100

_AT_ONCE = 500

_NUMBERS = (*MEASURES, "cost_nanos")


class LedgerCheck:
    """Any thread may use it."""

    def __init__(self, database: Database, receipts: Receipts, folder: Path, *, clock: Clock = utc_now) -> None:
        """`folder`: that of the entries that the database couldn't take."""
        self._database, self._receipts, self._folder, self._clock = database, receipts, folder, clock

    def run(
        self, start: datetime | None = None, end: datetime | None = None, *, grace_seconds: float = GRACE_SECONDS
    ) -> LedgerVerification:
        """Check the days from `start` to before `end`, by default the last thirty. Raises BadRequest.

        `grace_seconds`: so young an entry may have no receipt yet.
        """
        now = self._clock()
        end = now if end is None else end
        start = end - timedelta(days=DEFAULT_DAYS) if start is None else start
        if start >= end:
            raise BadRequest("The time ends before it begins. Give `from` a time before `to`.", param="from")
        first, last = int(start.timestamp()) // DAY * DAY, -(-int(end.timestamp()) // DAY) * DAY
        check = _Check(self._database, self._receipts, before=now.timestamp() - grace_seconds)
        for day in range(first, last, DAY):
            check.day(day)
        check.refused(RefusedEntries(self._folder))
        return LedgerVerification(
            is_sound=not check.num_problems,
            start=datetime.fromtimestamp(first, UTC),
            end=datetime.fromtimestamp(last, UTC),
            num_entries=check.num_entries,
            num_receipts=check.num_receipts,
            num_set_aside=Spill(self._folder).count(),
            num_problems=check.num_problems,
            problems=check.problems,
        )


class _Check:
    """One run."""

    def __init__(self, database: Database, receipts: Receipts, *, before: float) -> None:
        """`before`: entries before that moment have receipts."""
        self._database, self._receipts, self._before = database, receipts, before
        self._since = receipts.kept_since()
        self.problems: list[LedgerProblem] = []
        self.num_problems = self.num_entries = self.num_receipts = 0

    def day(self, day: int) -> None:
        sums: dict[tuple[Any, ...], list[int]] = {}
        for rows in self._parts(lambda session, last: queries.entries_between(session, day, day + DAY, last, _AT_ONCE)):
            self.num_entries += len(rows)
            for each in sums_of([_values(row) for row in rows], SUMMED):
                key = _key(each)
                sums[key] = [a + b for a, b in zip(sums.get(key, [0] * len(_NUMBERS)), _numbers(each), strict=True)]
            self._compare_receipts(rows)
            self._check_reversals([row for row in rows if row.reversal_of])
        self._compare_sums(day, sums)
        for ids in self._receipts.parts_of_ids(day, day + DAY, _AT_ONCE):
            self._find_entries(ids)

    def refused(self, refused: RefusedEntries) -> None:
        for path in refused.paths():
            self._add("refused", path.stem, f"The database refused it; it is in {path}.")

    def _parts(self, read: Callable[[Any, int], Sequence[LedgerRow]]) -> Iterator[Sequence[LedgerRow]]:
        last = 0
        while True:
            with self._database.session() as session:
                rows = read(session, last)
            if not rows:
                return
            yield rows
            last = rows[-1].number

    def _compare_sums(self, day: int, expected: Mapping[tuple[Any, ...], Sequence[int]]) -> None:
        with self._database.session() as session:
            rows = [
                _values(row)
                for dimension in DIMENSIONS
                for period in (HOUR, DAY)
                for row in queries.sums_between(session, dimension, period, day, day + DAY)
            ]
        found = {_key(row): _numbers(row) for row in rows}
        for key in sorted(expected.keys() | found.keys()):
            if [*expected.get(key, ())] != found.get(key) and any([*expected.get(key, ()), *found.get(key, ())]):
                dimension, period, start, project, value, currency = key
                name = f"{dimension} {value or project} {datetime.fromtimestamp(start, UTC):%Y-%m-%dT%H:%M} {currency}"
                length = "hour" if period < DAY else "day"
                self._add("sums", name.strip(), f"The sum of this {length} isn't that of its entries.")

    def _compare_receipts(self, rows: Sequence[LedgerRow]) -> None:
        ids = {row.call_id for row in rows if not row.reversal_of}
        if self._since is None or not ids:
            return
        receipts = self._receipts.of_answers(ids)
        with self._database.session() as session:
            entries = queries.entries_of_calls(session, ids)
        for id in sorted(ids):
            own = [row for row in entries if row.call_id == id]
            if id in receipts:
                self._compare(id, own, receipts[id])
            elif self._since <= own[0].at < self._before:
                self._add("receipt_missing", id, "The answer has no receipt.")

    def _compare(self, id: str, rows: Sequence[LedgerRow], receipts: Sequence[ReceiptDescription]) -> None:
        comparable = [each for each in receipts if "metered" in each.raw]  # Earlier versions didn't say it.
        self.num_receipts += len(comparable)
        if comparable and not any(_is_equal(each, rows) for each in comparable):
            self._add("receipt_differs", id, "The receipt says something else than the entries.")

    def _find_entries(self, ids: Sequence[str]) -> None:
        """Find receipts of what was counted that have no entries."""
        with self._database.session() as session:
            known = {row.call_id for row in queries.entries_of_calls(session, ids)}
        missing = {*ids} - known
        for id, receipts in sorted(self._receipts.of_answers(missing).items() if missing else ()):
            if any(each.metered for each in receipts):
                self._add("entry_missing", id, "The answer has a receipt of what was counted, and no entry.")

    def _check_reversals(self, rows: Sequence[LedgerRow]) -> None:
        if not rows:
            return
        with self._database.session() as session:
            entries = queries.entries_of_calls(session, {row.call_id for row in rows})
        originals = {f"{row.call_id}/{row.line}": row for row in entries}
        for row in rows:
            original = originals.get(row.reversal_of)
            if original is None or [-n for n in _numbers(_values(original))] != _numbers(_values(row)):
                self._add("reversal", f"{row.call_id}/{row.line}", f"It doesn't take {row.reversal_of} back exactly.")

    def _add(self, kind: str, id: str, message: str) -> None:
        self.num_problems += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(LedgerProblem(kind=kind, id=id, message=message))


def _is_equal(receipt: ReceiptDescription, rows: Sequence[LedgerRow]) -> bool:
    """Return whether a receipt says what the entries do.

    Of a line of a batch that a crash made the server answer twice, the first answer is counted, and the second one has
    the receipt: they have the prompt in common.
    """
    if rows[0].is_background:
        return _prompt_of(receipt.metered) == _prompt_of(metered(rows))
    costs = [row.cost_nanos for row in rows if row.cost_nanos is not None]
    has_same_cost = receipt.cost is None or receipt.cost == format_nanos(sum(costs))
    return receipt.metered == metered(rows) and has_same_cost


def _prompt_of(numbers: Mapping[str, int]) -> tuple[int, int]:
    names = [name for name in MEASURES if name.endswith("tokens") and name != "output_tokens"]
    return numbers.get("num_calls", 0), sum(numbers.get(name, 0) for name in names)


def _values(row: Any) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in row.__table__.columns}


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("dimension", "period", "start", "project", "value", "currency"))


def _numbers(row: Mapping[str, Any]) -> list[int]:
    return [row[name] or 0 for name in _NUMBERS]
