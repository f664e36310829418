"""The currencies that calls are charged in, now and later."""

from collections.abc import Iterable

from sqlalchemy.orm import Session

from llmos.billing import queries
from llmos.billing.dated import valid_at
from llmos.billing.tables import PriceBookRow


def currency_warning(session: Session, currency: str, now: int) -> str:
    """Return why a budget in this currency counts nothing; empty for one that counts, and for one without a currency.

    `now`: seconds since 1970.
    """
    if not currency:
        return ""
    charged = charged_currencies(queries.price_books(session), now)
    if currency in charged:
        return ""
    there_are = f"There are prices in {', '.join(sorted(charged))}." if charged else "There are no prices."
    return f"There is no price in {currency}, so that this budget counts nothing until there is one. {there_are}"


def charged_currencies(books: Iterable[PriceBookRow], now: int) -> set[str]:
    """Return the currencies of the prices that apply now, or will: the general ones, and those of plans."""
    by_plan: dict[str, list[PriceBookRow]] = {}
    for book in books:
        by_plan.setdefault(book.plan, []).append(book)
    applying = [valid_at(versions, now) for versions in by_plan.values()]
    coming = [book for versions in by_plan.values() for book in versions if book.valid_from > now]
    return {book.currency for book in (*applying, *coming) if book is not None}
