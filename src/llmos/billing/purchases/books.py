"""ProviderPrices: the versions of what providers ask. None ever changes, and none begins in the past."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from llmos.billing.dated import read_valid_from
from llmos.billing.price_books import texts_of
from llmos.billing.prices import check_currency
from llmos.billing.purchases import queries
from llmos.billing.purchases.prices import PurchaseBook, PurchaseTable, read_purchase_prices
from llmos.billing.purchases.tables import ProviderPriceRow
from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest
from llmos.core.schemas.provider_costs import ProviderPriceDescription

_FIELDS = ("from", "currency", "prices")


class ProviderPrices:
    """Any thread may use it."""

    def __init__(self, database: Database, *, check_provider: Callable[[str], object], clock: Clock = utc_now) -> None:
        """`check_provider`: raises NotFound for a provider that there is not."""
        self._database, self._check_provider, self._clock = database, check_provider, clock

    def set(self, provider: str, document: Any, *, actor: str = "") -> ProviderPriceDescription:
        """Add a version, which applies from a time on that isn't in the past. Raises BadRequest, NotFound."""
        self._check_provider(provider)
        if not isinstance(document, dict) or not set(document) <= set(_FIELDS):
            raise BadRequest(f"The prices of a provider have the fields {', '.join(_FIELDS)}.", param="prices")
        now = self._clock()
        valid_from = read_valid_from(document.get("from"), now, "Calls have a cost already.")
        read_purchase_prices(document.get("prices"))
        currency = check_currency(document.get("currency"))
        with self._database.transaction() as session:
            row = ProviderPriceRow(
                provider=provider,
                version=queries.newest_version(session, provider) + 1,
                valid_from=valid_from,
                currency=currency,
                document=json.dumps(texts_of(document["prices"])),
                created_at=now,
                created_by=actor,
            )
            session.add(row)
            describe_action(version=row.version, currency=currency)
        return _described(row)

    def list(self, provider: str) -> Sequence[ProviderPriceDescription]:
        """Return the versions, newest first. Raises NotFound for a provider that there is not, and never had any."""
        with self._database.session() as session:
            rows = [row for row in queries.prices(session) if row.provider == provider]
        if not rows:
            self._check_provider(provider)
        return [_described(row) for row in rows]


class PurchaseCache:
    """The prices as a transaction sees them; they are read again when there are more."""

    def __init__(self) -> None:
        self._known: tuple[int, PurchaseTable] = 0, PurchaseTable()

    def read(self, session: Session) -> PurchaseTable:
        known, count = self._known, queries.num_prices(session)
        if known[0] != count:
            known = self._known = count, PurchaseTable([_book(row) for row in queries.prices(session)])
        return known[1]


def _book(row: ProviderPriceRow) -> PurchaseBook:
    return PurchaseBook(
        provider=row.provider,
        version=row.version,
        valid_from=row.valid_from,
        currency=row.currency,
        prices=read_purchase_prices(json.loads(row.document)),
    )


def _described(row: ProviderPriceRow) -> ProviderPriceDescription:
    return ProviderPriceDescription(
        provider=row.provider,
        version=row.version,
        valid_from=datetime.fromtimestamp(row.valid_from, UTC),
        currency=row.currency,
        prices=json.loads(row.document),
        created_at=row.created_at,
        created_by=row.created_by,
    )
