"""The entries of an invoice as CSV."""

from collections.abc import Iterable

from llmos.core.csv_text import csv_lines
from llmos.core.schemas.ledger import LedgerEntryDescription

_COLUMNS = LedgerEntryDescription.__struct_fields__


def entry_lines(entries: Iterable[LedgerEntryDescription]) -> Iterable[str]:
    """Yield the names of the columns, and a line for each entry."""
    return csv_lines(_COLUMNS, (_values(entry) for entry in entries), computed={"cost"})


def _values(entry: LedgerEntryDescription) -> list[object]:
    at = None if entry.at is None else entry.at.isoformat()
    return [at if name == "at" else getattr(entry, name) for name in _COLUMNS]
