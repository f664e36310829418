"""PurchaseStore: adds what attempts cost at providers, in the transaction that adds their entries to the ledger."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from llmos.billing.entries import DIFFERENCES, Entry, Purchase
from llmos.billing.purchases import queries
from llmos.billing.purchases.books import PurchaseCache
from llmos.billing.purchases.prices import PurchaseTable
from llmos.billing.queries import User
from llmos.billing.sums import sums_of

REPORTED_CURRENCY = "USD"
"""The currency of what providers say that a call costs, where their prices have none: credits of OpenRouter are USD."""

_TOLERATED_NANOS = 1000
"""A cost that a provider names may differ from that of its prices by this, and by a hundredth."""

_REMOTE = "remote:"


class PurchaseStore:
    """Any thread may use it."""

    def __init__(self) -> None:
        self._prices = PurchaseCache()

    def store(self, session: Session, entries: Sequence[Entry], user_numbers: Mapping[User, int]) -> None:
        """Store what entries cost at providers. Those that are stored already are left out."""
        bought = {(each.call_id, each.line): each for each in entries if each.purchase is not None}
        if not bought:
            return
        prices = self._prices.read(session)
        rows = {
            key: _row(each, each.purchase, user_numbers.get((each.project, each.user)), prices)
            for key, each in bought.items()
            if each.purchase is not None
        }
        added = queries.add_calls(session, [*rows.values()])
        if new := [row for key, row in rows.items() if key in added]:
            queries.add_sums(session, sums_of([_numbers(row) for row in new], queries.SUMMED))


def _row(entry: Entry, used: Purchase, user_number: int | None, prices: PurchaseTable) -> dict[str, Any]:
    provider, _, model = entry.version.removeprefix(_REMOTE).partition("/")
    book = prices.book(provider, entry.at)
    cost = None if book is None else book.cost(model, entry, used)
    reported, differences = used.reported_cost_nanos, list(used.differences)
    if cost is not None and reported is not None and _differ(cost, reported):
        differences.append("cost")
    same = ("call_id", "line", "at", "project", "key_id", "route", "version", "app", "outcome", "is_charged")
    tokens = ("input_tokens", "cached_input_tokens", "output_tokens")
    is_priced = book is not None and cost is not None
    return {
        **{name: getattr(entry, name) for name in same},
        **{name: getattr(used, name) for name in tokens},
        "user_number": user_number,
        "provider": provider,
        "is_estimated": used.is_estimated,
        "cost_nanos": reported if cost is None else cost,
        "currency": book.currency if book is not None and is_priced else REPORTED_CURRENCY if reported else "",
        "price_version": book.version if book is not None and is_priced else None,
        "reported_cost_nanos": reported,
        "differences": ",".join(differences),
    }


def _differ(cost: int, reported: int) -> bool:
    return abs(cost - reported) > max(_TOLERATED_NANOS, cost // 100)


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with what it adds to the sums."""
    found = row["differences"].split(",")
    return {
        **row,
        "num_calls": 1,
        "num_estimated": int(row["is_estimated"]),
        "reported_calls": int(row["reported_cost_nanos"] is not None),
        **{f"{kind}_differences": int(kind in found) for kind in DIFFERENCES},
    }
