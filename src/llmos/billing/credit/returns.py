"""CreditReturns: gives back to credit what tiers and free units made cheaper in the months before.

Credit pays list prices, because the sum of a month isn't known before its end. What the usage of a month costs less is
added as a line. What is stored later, such as an entry that waited on a disk or a reversal, changes that sum: then
another line has the difference, which takes back what was too much.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from llmos.billing import queries
from llmos.billing.credit.credit import Credit
from llmos.billing.credit.queries import lines
from llmos.billing.months import month_bounds, read_terms
from llmos.billing.plans.spans import PlanTable
from llmos.billing.price_books import read_books
from llmos.billing.rating import rate, saved
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import Conflict

MONTHS = 3
"""Months that have ended are looked at for so long."""

Month = tuple[int, int]


class CreditReturns:
    """Any thread, and any number of servers, may use it."""

    def __init__(self, database: Database, credit: Credit, *, clock: Clock = utc_now) -> None:
        self._database, self._credit, self._clock = database, credit, clock
        self._seen: tuple[int, int] | None = None
        """The beginning of this month, and the last entry of the ledger, when all was looked at."""

    def add(self) -> int:
        """Add the lines of the months before, and return how many there were to add."""
        current, _ = month_bounds(self._clock())
        with self._database.session() as session:
            last = queries.last_entry(session)
            late = self._late_projects(session, current)
            months = list(_months_before(current))
            found = [
                (project, month, currency, amount, number)
                for month in months
                for project in _prepaid(session, month)
                if late is None or project in late
                for currency, (amount, number) in _missing(session, project, month).items()
            ]
        seen: tuple[int, int] | None = (current, last)
        for project, month, currency, amount, number in found:
            key = _key(month) if number == 0 else f"{_key(month)}, {currency}, {number}"
            try:
                self._credit.adjust(project, amount, currency, key=key, note=_note(month, number), actor="llmos")
            except Conflict:  # Another server has added another line meanwhile. The next round looks at all again.
                seen = None
        self._seen = seen
        return len(found)

    def _late_projects(self, session: Session, current: int) -> set[str] | None:
        """Return the projects whose past months have changed since the last time; None for all."""
        if self._seen is None or self._seen[0] != current:
            return None
        return queries.projects_with_late_entries(session, self._seen[1], current)


def _months_before(current: int) -> Iterator[Month]:
    """Yield the months that have ended, the oldest first."""
    found: list[Month] = []
    end = current
    for _ in range(MONTHS):
        month = month_bounds(datetime.fromtimestamp(end - 1, UTC))
        found.append(month)
        end = month[0]
    yield from reversed(found)


def _name(month: Month) -> str:
    return f"{datetime.fromtimestamp(month[0], UTC):%Y-%m}"


def _key(month: Month) -> str:
    return f"tiers and free units of {_name(month)}"


def _note(month: Month, number: int) -> str:
    return f"Tiers and free units of {_name(month)}{', by what was stored later' if number else ''}"


def _missing(session: Session, project: str, month: Month) -> Mapping[str, tuple[int, int]]:
    """Return what is to be added for a month, by currency, and how many lines it has already."""
    made = [row for row in lines(session, project) if row.key == _key(month) or row.key.startswith(f"{_key(month)},")]
    added: Counter[str] = Counter()
    for row in made:
        added[row.currency] += row.amount_nanos
    owed = _returned(session, project, month)
    amounts = {currency: owed.get(currency, 0) - added[currency] for currency in {*owed, *added}}
    return {currency: (amount, len(made)) for currency, amount in sorted(amounts.items()) if amount}


def _prepaid(session: Session, month: Month) -> list[str]:
    """Return the projects that had a prepaid plan in a month."""
    spans = [span for span in PlanTable.read(session).all() if span.plan.kind == "prepaid"]
    return sorted({span.project for span in spans if span.first < month[1] and span.end > month[0]})


def _returned(session: Session, project: str, month: Month) -> dict[str, int]:
    """Return what the terms with credit cost less than list prices, in the currency of the plans."""
    books = {book.version: book for book in read_books(session)}
    terms = read_terms(session, books, project, month)
    credit = {(term.first, term.plan.currency) for term in terms if term.plan and term.plan.kind == "prepaid"}
    rated = [line for line in rate(terms, books) if (line.first, line.currency) in credit]
    return dict(saved(rated, books))
