"""Ledger: the entries of all calls, and their sums. Entries are only ever added; a correction is a reversal.

An entry and its part of the sums are one transaction, and an entry that is there already adds nothing: whoever isn't
sure whether entries were stored stores them again.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from sqlalchemy.orm import Session

from llmos.billing import limit_queries, queries
from llmos.billing.describing import describe_entry
from llmos.billing.entries import MEASURES, Charge, Entry
from llmos.billing.opening import open_limits
from llmos.billing.price_books import PriceCache, PriceTable
from llmos.billing.purchases.storing import PurchaseStore
from llmos.billing.reservations import Reservations
from llmos.billing.sums import sums_of
from llmos.billing.tables import LedgerRow
from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import Conflict, NotFound
from llmos.core.ids import new_id
from llmos.core.schemas.ledger import LedgerEntryDescription

_FACTS = (
    "call_id", "line", "request_id", "at", "project", "key_id", "route", "model", "version", "app", "operation",
    "outcome", "is_background", "reversal_of",
)  # fmt: skip

_facts_of = attrgetter(*_FACTS)

SUMMED = (*MEASURES, "cost_nanos")
"""The columns that are summed."""

_PROBE = Entry(
    call_id=new_id("probe"), at=0, project="", key_id="", model="", version="", operation="", outcome="answered"
)


class _Undone(Exception):
    """Rolls a transaction back."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The result of storing entries."""

    num_new: int
    charges: Mapping[str, Charge]
    """By the name of the entry. Those that no price applied to are missing."""


class Ledger:
    """Any thread and any process may use it."""

    def __init__(self, database: Database, reservations: Reservations | None = None, *, clock: Clock = utc_now) -> None:
        """`reservations`: the limits that entries count for; by default all."""
        self._database, self._clock = database, clock
        self._reservations = reservations or open_limits(database)
        self._prices, self._purchases = PriceCache(), PurchaseStore()

    def add(self, entries: Sequence[Entry]) -> Stored:
        """Store entries, in one transaction. Those that are stored already are left out."""
        with self._database.counting(is_durable=True) as session:
            numbers = queries.ensure_users(session, {(each.project, each.user) for each in entries if each.user})
            prices = self._current_prices(session)
            rows = {
                (each.call_id, each.line): (_row(each, numbers.get((each.project, each.user)), prices), each.user)
                for each in entries
                if each.is_charged
            }
            added = queries.add_entries(session, [row for row, _ in rows.values()])
            new = [rows[key] for key in rows if key in added]
            # Release the reservations of entries that exist already, too: a call that is repeated after a crash has
            # made a new reservation.
            self._reservations.release(session, {each.call_id for each in entries})
            if new:
                self._reservations.count(session, new)
                queries.add_usage(session, sums_of([row for row, _ in new], SUMMED))
            self._purchases.store(session, entries, numbers)
        return Stored(len(added), _charges(row for row, _ in rows.values()))

    def turn(self) -> AbstractContextManager[object]:
        """See Database.counting_turn()."""
        return self._database.counting_turn()

    def _current_prices(self, session: Session) -> PriceTable:
        return self._prices.read(session)

    def check_writable(self) -> None:
        """Raise what the database raises if it takes no entry at all. Stores nothing."""
        with suppress(_Undone), self._database.counting() as session:
            queries.add_entries(session, [_row(_PROBE, None, PriceTable())])
            raise _Undone

    def reverse(self, call_id: str, line: int = 0, *, note: str = "") -> LedgerEntryDescription:
        """Take an entry back by another one with the opposite numbers, and return that. `note`: for the audit log.

        Raises NotFound, and Conflict for the second time.
        """
        with self._database.transaction() as session:
            self._database.hold_counting(session)
            row = queries.entry(session, call_id, line)
            if row is None:
                raise NotFound(f"The ledger has no entry {call_id[:80]}/{line}. Check the id of the answer.")
            reversal = _reversal(row, int(self._clock().timestamp()))
            if line < 0 or not queries.add_entries(session, [reversal]):
                raise Conflict(f"The entry {call_id}/{line} is reversed already, or is a reversal itself.")
            user = queries.user_names(session, [row.user_number]) if row.user_number is not None else {}
            counted = {**reversal, "reversed_at": row.at}
            self._reservations.count(session, [(counted, user.get(row.user_number or 0) or "")])
            queries.add_usage(session, sums_of([reversal], SUMMED))
            describe_action(f"{call_id}/{line}", note=note)
            stored = queries.entry(session, call_id, reversal["line"])
            assert stored is not None, "it was added"
            return describe_entry(stored)

    def entries(self, call_id: str, *, project: str | None = None) -> Sequence[LedgerEntryDescription]:
        """Return the entries of an answer. `project`: only if it is one of this project. Raises NotFound."""
        with self._database.session() as session:
            rows = queries.entries_of(session, call_id)
        if not rows or project not in (None, rows[0].project):
            raise NotFound(f"The ledger has no entry of {call_id[:80]!r}. Check the id of the answer.")
        return [describe_entry(row) for row in rows]

    def charges_of(self, call_id: str) -> Sequence[LedgerEntryDescription]:
        """Return what a call was charged: its entries, and those that take one back."""
        with self._database.session() as session:
            return [describe_entry(row) for row in queries.entries_of(session, call_id)]

    def forget(self, project: str, user: str) -> int:
        """Take the name of an end user away, so that their entries are nobody's. Return how many entries they had."""
        with self._database.counting(is_durable=True) as session:
            limit_queries.count_limit_change(session)  # A budget may be for this user.
            return queries.forget_user(session, project, user)

    def projects_of(self, user: str) -> Sequence[str]:
        """Return the projects with entries of an end user."""
        with self._database.session() as session:
            return queries.projects_with_user(session, user)


def _row(entry: Entry, user_number: int | None, prices: PriceTable) -> dict[str, Any]:
    facts = dict(zip(_FACTS, _facts_of(entry), strict=True))
    price: dict[str, Any] = {"cost_nanos": None, "currency": "", "price_version": None}
    book = prices.book(entry.project, entry.at)
    if book is not None and (cost := book.cost(entry)) is not None:
        price = {"cost_nanos": cost, "currency": book.currency, "price_version": book.version}
    return {**facts, **entry.measures(), **price, "user_number": user_number}


def _charges(rows: Iterable[dict[str, Any]]) -> Mapping[str, Charge]:
    return {
        f"{row['call_id']}/{row['line']}": Charge(row["cost_nanos"], row["currency"], row["price_version"])
        for row in rows
        if row["cost_nanos"] is not None
    }


def _reversal(row: LedgerRow, now: int) -> dict[str, Any]:
    """Return the row that takes another one back. Its line is negative, so that there is one for each entry."""
    same = {name: getattr(row, name) for name in (*_FACTS, "user_number", "currency", "price_version")}
    numbers = {name: -getattr(row, name) for name in MEASURES}
    cost = None if row.cost_nanos is None else -row.cost_nanos
    place = {"line": -1 - row.line, "at": now, "reversal_of": f"{row.call_id}/{row.line}"}
    return {**same, **numbers, "cost_nanos": cost, **place}
