"""Budgets: the most that a key, an end user, a project or the installation may consume per day, per month or in
total."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

import msgspec

from llmos.core.schemas.alerts import AlertDescription
from llmos.core.schemas.base import Description


class BudgetFields(TypedDict, total=False):
    """The calls that a budget counts, and their limit. Without project, key, user and each_user: all calls."""

    project: str
    key: str
    """The id of an API key."""
    user: str
    """A user of the project, as requests name it."""
    each_user: bool
    """The limit applies to each user separately."""
    unit: str
    """money, tokens or requests."""
    currency: str
    limit: str
    """A decimal text; for tokens and requests, a whole number."""
    per: str
    """day, month (the default) or total."""
    is_hard: bool
    """False: calls continue beyond the limit, and only alerts are sent."""
    alerts: Sequence[int]
    """The percentages of the limit at which an alert is sent; by default 80 and 100."""


class BudgetUse(Description, frozen=True, kw_only=True):
    """The use that one user has made of a budget with `each_user`."""

    project: str = ""
    user: str = ""
    """Empty for the calls that name no user, which are counted together."""
    spent: str = "0"
    reserved: str = "0"
    left: str = "0"


class BudgetDescription(Description, frozen=True, kw_only=True):
    """A budget. Amounts are decimal texts; amounts of money are in `currency`."""

    name: str = ""
    scope: str = ""
    """installation, project, key, user or each_user."""
    project: str = ""
    key: str = ""
    user: str = ""
    unit: str = ""
    """money, tokens or requests."""
    currency: str = ""
    limit: str = "0"
    per: str = ""
    """day, month or total. Days and months begin at midnight UTC."""
    is_hard: bool = True
    """False: calls continue beyond the limit, and only alerts are sent."""
    warning: str = ""
    """The reason that nothing is counted: there are no prices in the budget's currency. Empty otherwise."""
    alerted: list[AlertDescription] = msgspec.field(default_factory=list)
    """The alerts of this period, newest first; empty in lists of budgets."""
    alerts: list[int] = msgspec.field(default_factory=list)
    """The percentages of the limit at which owners are notified."""
    spent: str | None = None
    """The usage in this period; null with `each_user`, where each user has a count."""
    reserved: str | None = None
    """The most that calls in progress may still use."""
    left: str | None = None
    """The amount that the next call may use."""
    resets_at: datetime | None = None
    """The end of this period; null for `total`."""
    users: list[BudgetUse] = msgspec.field(default_factory=list)
    """With `each_user`: the users who have used most in this period; empty in lists of budgets."""
    managed_by: str = ""
    """The project whose owners set the budget and may change it; empty if the installation's owners did."""
    created_at: datetime | None = None
    changed_at: datetime | None = None
    changed_by: str = ""
