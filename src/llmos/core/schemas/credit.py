"""Prepaid credit of projects."""

from datetime import datetime

import msgspec

from llmos.core.schemas.alerts import AlertDescription
from llmos.core.schemas.base import Description


class CreditLineDescription(Description, frozen=True, kw_only=True):
    """A top-up, or its reversal. It never changes."""

    id: str = ""
    at: datetime | None = None
    amount: str = "0"
    """Negative: it takes another line back."""
    currency: str = ""
    balance: str = "0"
    """The balance with it."""
    note: str = ""
    reversal_of: str = ""
    created_by: str = ""


class CreditDescription(Description, frozen=True, kw_only=True):
    """The credit of a project in one currency. Amounts are decimal texts."""

    project: str = ""
    currency: str = ""
    balance: str = "0"
    """What was paid in, less what calls have cost."""
    reserved: str = "0"
    """What calls that run now may cost at most."""
    left: str = "0"
    """What the next call may cost."""
    topped_up: str = "0"
    """All that was paid in, less what was taken back."""
    spent: str = "0"
    """All that calls have cost while the project's plan was prepaid."""
    is_used: bool = False
    """The project's plan is prepaid now: calls cost credit."""
    alerts: list[AlertDescription] = msgspec.field(default_factory=list)
    """Those since the last line, newest first."""
    lines: list[CreditLineDescription] = msgspec.field(default_factory=list)
    """Newest first; in lists none."""
