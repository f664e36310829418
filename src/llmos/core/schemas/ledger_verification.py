"""The findings of a verification of the ledger."""

from datetime import datetime

import msgspec

from llmos.core.schemas.base import Description


class LedgerProblem(Description, frozen=True, kw_only=True):
    kind: str = ""
    """sums, receipt_missing, receipt_differs, entry_missing, reversal or refused."""
    id: str = ""
    """The id of the answer or entry, or the name of the sum."""
    message: str = ""


class LedgerVerification(Description, frozen=True, kw_only=True):
    is_sound: bool = True
    start: datetime | None = None
    end: datetime | None = None
    """The end of the period (exclusive). The period consists of whole days in UTC."""
    num_entries: int = 0
    num_receipts: int = 0
    """The number of receipts that were compared with the entries of their answers."""
    num_set_aside: int = 0
    """The number of entries in files beside the database, which couldn't be stored in it yet."""
    num_problems: int = 0
    problems: list[LedgerProblem] = msgspec.field(default_factory=list)
    """The first hundred problems."""
