"""Entries of the ledger, and what the database has of them."""

from typing import Any

from sqlalchemy import func, select

from llmos.billing.entries import MEASURES, Entry
from llmos.billing.sums import DAY, DIMENSIONS, HOUR
from llmos.billing.tables import LedgerRow, UsageRow
from llmos.core.database import Database

AT = 1_790_000_000


def entry(call_id: str, **fields: Any) -> Entry:
    facts: dict[str, Any] = {
        "at": AT,
        "project": "acme",
        "key_id": "key-1",
        "user": "ann",
        "route": "dialogue",
        "model": "dialogue",
        "version": "smollm2@1",
        "operation": "generate",
        "outcome": "answered",
        "input_tokens": 5,
        "output_tokens": 3,
        "replica_micros": 250,
    }
    return Entry(call_id=call_id, **facts | fields)


def stored(database: Database) -> list[LedgerRow]:
    with database.session() as session:
        return list(session.scalars(select(LedgerRow).order_by(LedgerRow.number)))


def check_sums(database: Database) -> None:
    """Check that the sums of each dimension and period are those of the entries."""
    with database.session() as session:
        names = [*MEASURES, "cost_nanos"]
        totals = tuple(session.scalar(select(func.coalesce(func.sum(getattr(LedgerRow, name)), 0))) for name in names)
        for dimension in DIMENSIONS:
            for period in (HOUR, DAY):
                where = UsageRow.dimension == dimension, UsageRow.period == period
                sums = [func.coalesce(func.sum(getattr(UsageRow, name)), 0) for name in names]
                assert tuple(session.execute(select(*sums).where(*where)).one()) == totals, (dimension, period)
