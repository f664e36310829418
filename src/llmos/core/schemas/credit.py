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
    """Negative if the line reverses another one."""
    currency: str = ""
    balance: str = "0"
    """The balance after this line."""
    note: str = ""
    reversal_of: str = ""
    created_by: str = ""


class CreditDescription(Description, frozen=True, kw_only=True):
    """The credit of a project in one currency. Amounts are decimal texts."""

    project: str = ""
    currency: str = ""
    balance: str = "0"
    """`topped_up` minus `spent`."""
    reserved: str = "0"
    """The most that calls in progress may still cost."""
    left: str = "0"
    """The amount that the next call may cost."""
    topped_up: str = "0"
    """The sum of all top-ups, minus the reversed ones."""
    spent: str = "0"
    """The cost of all calls that were made while the project's plan was prepaid."""
    is_used: bool = False
    """The project's plan is prepaid now, so that calls are paid from the credit."""
    alerts: list[AlertDescription] = msgspec.field(default_factory=list)
    """The alerts since the last line, newest first."""
    lines: list[CreditLineDescription] = msgspec.field(default_factory=list)
    """Newest first; empty in lists of credits."""
