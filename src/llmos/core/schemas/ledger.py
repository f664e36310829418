"""Entries of the ledger: the usage and the cost of calls."""

from datetime import datetime

from llmos.core.schemas.base import Description


class LedgerEntryDescription(Description, frozen=True, kw_only=True):
    id: str = ""
    """CALL_ID/LINE."""
    call_id: str = ""
    """The id of the answer."""
    line: int = 0
    """The index of the attempt of the call that this entry is for; negative for a reversal."""
    request_id: str = ""
    at: datetime | None = None
    project: str = ""
    key: str = ""
    route: str = ""
    version: str = ""
    app: str = ""
    operation: str = ""
    outcome: str = ""
    num_calls: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    embedding_tokens: int = 0
    rated_tokens: int = 0
    replica_seconds: float = 0.0
    cost: str | None = None
    """A decimal text, rounded once to a billionth; in exports for invoices exact, with up to 15 places. Null if no
    price applied."""
    currency: str = ""
    price_version: int | None = None
    reversal_of: str = ""
    """The id of the entry that this one reverses; empty for other entries."""
