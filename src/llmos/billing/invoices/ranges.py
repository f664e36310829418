"""The entries of the ledger that an invoice is about.

Two limits bound them: the end of its month, and the number of the last entry that was stored when it was made.

    number
      │ later entries                  later entries
      ├───────────────┬─────────────┐ ◀── last
      │  late (2)     │   new (1)   │
      ├───────────────┤             │ ◀── previous_last
      │ on earlier    │             │
      │ invoices      │             │
      └───────────────┴─────────────┴──▶ time; of a reversal, that of the entry that it takes back
             end of the previous   end of the month

Each entry is on the first invoice that it is inside the limits of, so on exactly one: an entry that arrives after the
invoice of its month is on the next one. Entries get their numbers, and become visible, in one order: whoever adds some
holds a lock until they are (Database.counting), and the number of the last one is read under the same lock.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from llmos.billing.invoices.month import Month
from llmos.core.schemas.invoices import EntryRange


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Entries from the time `start` up to before `end`, with numbers beyond `after` up to `last`."""

    start: int | None
    end: int
    after: int
    last: int


def new_part(month: Month, entries: EntryRange) -> Part:
    """Return the months that no invoice was about before (1)."""
    start = Month.parse(entries.previous_month).end if entries.previous_month else None
    return Part(start=start, end=month.end, after=0, last=entries.last)


def late_part(entries: EntryRange) -> Part | None:
    """Return what was stored after the invoices of its months (2); None: there is no invoice before this one."""
    if not entries.previous_month:
        return None
    end = Month.parse(entries.previous_month).end
    return Part(start=None, end=end, after=entries.previous_last, last=entries.last)


def parts_of(month: Month, entries: EntryRange) -> Sequence[Part]:
    late = late_part(entries)
    return [new_part(month, entries)] if late is None else [late, new_part(month, entries)]
