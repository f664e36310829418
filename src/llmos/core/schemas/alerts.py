"""Alerts: shares of budgets, plans and credit that were used up."""

from datetime import datetime

from llmos.core.schemas.base import Description


class AlertDescription(Description, frozen=True, kw_only=True):
    """Amounts are decimal texts, of money in the currency."""

    id: str = ""
    at: datetime | None = None
    kind: str = ""
    """budget, plan, allowance (what a plan includes) or credit."""
    name: str = ""
    """Of the budget or the plan; of credit the project."""
    project: str = ""
    """Whose call it was."""
    user: str = ""
    """Of a budget for a user, or for each of them."""
    percent: int = 0
    is_hard: bool = True
    """False: calls go on."""
    unit: str = ""
    """money, tokens or requests."""
    currency: str = ""
    limit: str = "0"
    spent: str = "0"
    per: str = ""
    """day, month or total."""
    period_start: datetime | None = None
    """Null for `total`."""
