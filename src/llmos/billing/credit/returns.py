"""CreditReturns: gives back to credit what tiers and free units made cheaper in the month before.

Credit pays list prices, because the sum of a month isn't known before its end. What the usage of a month costs less is
added as a line, once for each project and month.
"""

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from llmos.billing.credit.credit import Credit
from llmos.billing.credit.queries import line_with_key
from llmos.billing.months import month_bounds, read_terms
from llmos.billing.plans.spans import PlanTable
from llmos.billing.price_books import read_books
from llmos.billing.rating import rate, saved
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.money import format_nanos


class CreditReturns:
    """Any thread, and any number of servers, may use it."""

    def __init__(self, database: Database, credit: Credit, *, clock: Clock = utc_now) -> None:
        self._database, self._credit, self._clock = database, credit, clock

    def add(self) -> int:
        """Add the lines of the month before, and return how many there were to add."""
        end, _ = month_bounds(self._clock())
        month = month_bounds(datetime.fromtimestamp(end - 1, UTC))
        name = f"{datetime.fromtimestamp(month[0], UTC):%Y-%m}"
        key = f"tiers and free units of {name}"
        with self._database.session() as session:
            found = {
                (project, currency): amount
                for project in _prepaid(session, month)
                if line_with_key(session, project, key) is None
                for currency, amount in _returned(session, project, month).items()
                if amount > 0
            }
        for (project, currency), amount in found.items():
            note = f"Tiers and free units of {name}"
            self._credit.add(project, format_nanos(amount), currency, key=key, note=note, actor="llmos")
        return len(found)


def _prepaid(session: Session, month: tuple[int, int]) -> list[str]:
    """Return the projects that had a prepaid plan in a month."""
    spans = [span for span in PlanTable.read(session).all() if span.plan.kind == "prepaid"]
    return sorted({span.project for span in spans if span.first < month[1] and span.end > month[0]})


def _returned(session: Session, project: str, month: tuple[int, int]) -> dict[str, int]:
    """Return what the terms with credit cost less than list prices, in the currency of the plans."""
    books = {book.version: book for book in read_books(session)}
    terms = read_terms(session, books, project, month)
    credit = {(term.first, term.plan.currency) for term in terms if term.plan and term.plan.kind == "prepaid"}
    lines = [line for line in rate(terms, books) if (line.first, line.currency) in credit]
    return dict(saved(lines, books))
