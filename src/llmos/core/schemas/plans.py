"""Plans: how projects pay, and which plan each project has."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.alerts import AlertDescription
from llmos.core.schemas.base import Description


class PlanLimitUse(Description, frozen=True, kw_only=True):
    """A limit of a plan, or what it includes, and what a project has used of it in this period."""

    kind: str = "limit"
    """limit, or allowance: what the fee pays, beyond which usage is charged."""
    unit: str = ""
    """money, tokens or requests."""
    limit: str = "0"
    """Of money a decimal in the plan's currency."""
    per: str = "month"
    is_hard: bool = True
    spent: str = "0"
    left: str = "0"


class PlanProject(Description, frozen=True, kw_only=True):
    """A project that has the plan now, or will have it."""

    project: str = ""
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    """Null: until something changes."""
    limits: list[PlanLimitUse] = msgspec.field(default_factory=list)
    alerts: list[AlertDescription] = msgspec.field(default_factory=list)
    """Those of this period, newest first."""


class PlanDescription(Description, frozen=True, kw_only=True):
    """Amounts are decimal texts in the currency."""

    name: str = ""
    version: int = 0
    valid_from: datetime | None = None
    kind: str = ""
    """pay_as_you_go, prepaid or subscription."""
    currency: str = ""
    monthly_fee: str = "0"
    included: dict[str, Any] = msgspec.field(default_factory=dict)
    """What the fee pays each month: spend, calls, tokens, seconds and kinds of tokens."""
    prices: dict[str, Any] | None = None
    """In place of the general prices; null: the general ones apply."""
    price_version: int | None = None
    """The version of the prices that they are."""
    limits: list[dict[str, Any]] = msgspec.field(default_factory=list)
    alerts: list[int] = msgspec.field(default_factory=list)
    """Percentages of limits, credit and what is included at which webhooks are told."""
    projects: list[PlanProject] = msgspec.field(default_factory=list)
    created_at: datetime | None = None
    created_by: str = ""


class PlanAssignment(Description, frozen=True, kw_only=True):
    project: str = ""
    plan: str = ""
    """Empty: no plan any more."""
    valid_from: datetime | None = None
    created_at: datetime | None = None
    created_by: str = ""
