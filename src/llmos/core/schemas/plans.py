"""Plans: the fees, prices and limits of projects, and the plan of each project."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.alerts import AlertDescription
from llmos.core.schemas.base import Description


class PlanLimitUse(Description, frozen=True, kw_only=True):
    """A limit or an allowance of a plan, with a project's use of it in this period."""

    kind: str = "limit"
    """limit, or allowance (usage that the fee includes; usage beyond it is charged)."""
    unit: str = ""
    """money, tokens or requests."""
    limit: str = "0"
    """A decimal text; an amount of money is in the plan's currency."""
    per: str = "month"
    is_hard: bool = True
    spent: str = "0"
    left: str = "0"


class PlanProject(Description, frozen=True, kw_only=True):
    """A project that has the plan now or will have it."""

    project: str = ""
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    """The end of the assignment; null if none is set."""
    limits: list[PlanLimitUse] = msgspec.field(default_factory=list)
    alerts: list[AlertDescription] = msgspec.field(default_factory=list)
    """The alerts of this period, newest first."""


class PlanDescription(Description, frozen=True, kw_only=True):
    """A version of a plan. Amounts are decimal texts in `currency`."""

    name: str = ""
    version: int = 0
    valid_from: datetime | None = None
    kind: str = ""
    """pay_as_you_go, prepaid or subscription."""
    currency: str = ""
    monthly_fee: str = "0"
    """The monthly fee of a subscription, as a decimal text."""
    included: dict[str, Any] = msgspec.field(default_factory=dict)
    """The usage that the fee includes each month: spend, calls, tokens, seconds and kinds of tokens."""
    prices: dict[str, Any] | None = None
    """Prices of the plan, which replace the general prices; null if the general prices apply."""
    price_version: int | None = None
    """The version of `prices`."""
    limits: list[dict[str, Any]] = msgspec.field(default_factory=list)
    alerts: list[int] = msgspec.field(default_factory=list)
    """The percentages of limits, credit and included usage at which an alert is sent."""
    projects: list[PlanProject] = msgspec.field(default_factory=list)
    created_at: datetime | None = None
    created_by: str = ""


class PlanAssignment(Description, frozen=True, kw_only=True):
    project: str = ""
    plan: str = ""
    """The name of the plan; empty if the project has no plan from this time on."""
    valid_from: datetime | None = None
    created_at: datetime | None = None
    created_by: str = ""
