"""Budgets: what a key, an end user, a project or the whole installation may consume in a day, a month or in total."""

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
    """Every user has as much."""
    unit: str
    """money, tokens or requests."""
    currency: str
    limit: str
    """A decimal. Of tokens and requests, a whole number."""
    per: str
    """day, month (the default) or total."""
    is_hard: bool
    """False: it only causes alerts."""
    alerts: Sequence[int]
    """Percentages of the limit; by default 80 and 100."""


class BudgetUse(Description, frozen=True, kw_only=True):
    """The part of a budget for each user that one user has used."""

    project: str = ""
    user: str = ""
    """Empty: calls that name no user, which share one count."""
    spent: str = "0"
    reserved: str = "0"
    left: str = "0"


class BudgetDescription(Description, frozen=True, kw_only=True):
    """Amounts are decimal texts, of money in the currency."""

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
    """day, month or total. Days and months are those of UTC."""
    is_hard: bool = True
    """False: calls are never stopped, and alerts are all that happens."""
    warning: str = ""
    """Why it counts nothing: there are no prices in its currency."""
    alerted: list[AlertDescription] = msgspec.field(default_factory=list)
    """The alerts of this period, newest first; in lists none."""
    alerts: list[int] = msgspec.field(default_factory=list)
    """The percentages of the limit at which owners are told."""
    spent: str | None = None
    """Null for each_user, where every user has a count."""
    reserved: str | None = None
    """What calls that run now may use at most."""
    left: str | None = None
    """What the next call may use."""
    resets_at: datetime | None = None
    """Null: never."""
    users: list[BudgetUse] = msgspec.field(default_factory=list)
    """Of each_user: those who have used most in this period; in lists none."""
    managed_by: str = ""
    """The project whose owners have set it, and may change it; empty: those of the installation."""
    created_at: datetime | None = None
    changed_at: datetime | None = None
    changed_by: str = ""
