"""Alerts: a budget, a plan or credit was used up to one of its alert percentages."""

from datetime import datetime

from llmos.core.schemas.base import Description


class AlertDescription(Description, frozen=True, kw_only=True):
    """An alert. Amounts are decimal texts; amounts of money are in `currency`."""

    id: str = ""
    at: datetime | None = None
    kind: str = ""
    """budget, plan, allowance (the usage that a plan includes) or credit."""
    name: str = ""
    """The name of the budget or of the plan; for credit, the name of the project."""
    project: str = ""
    """The project of the call that caused the alert."""
    user: str = ""
    """The end user whose budget it is; empty for other budgets."""
    percent: int = 0
    """The percentage of the limit that was reached."""
    is_hard: bool = True
    """False: calls continue beyond the limit."""
    unit: str = ""
    """money, tokens or requests."""
    currency: str = ""
    limit: str = "0"
    spent: str = "0"
    per: str = ""
    """day, month or total."""
    period_start: datetime | None = None
    """Null for `total`."""
