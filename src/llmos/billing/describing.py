"""The description of an entry of the ledger, for answers, invoices and the ledger itself."""

from datetime import UTC, datetime

from llmos.billing.entries import MEASURES
from llmos.billing.tables import LedgerRow
from llmos.core.money import format_nanos
from llmos.core.schemas.ledger import LedgerEntryDescription

_SAME = (
    "call_id", "line", "request_id", "project", "route", "version", "app", "operation", "outcome", "currency",
    "price_version", "reversal_of", *(name for name in MEASURES if name != "replica_micros"),
)  # fmt: skip


def describe_entry(row: LedgerRow, *, cost: str | None = None) -> LedgerEntryDescription:
    """Return what everybody who may see an entry is told. `cost`: by default the rounded one."""
    if cost is None and row.cost_nanos is not None:
        cost = format_nanos(row.cost_nanos)
    return LedgerEntryDescription(
        **{name: getattr(row, name) for name in _SAME},
        id=f"{row.call_id}/{row.line}",
        at=datetime.fromtimestamp(row.at, UTC),
        key=row.key_id,
        replica_seconds=row.replica_micros / 1e6,
        cost=cost,
    )
