"""Releases of applications: what is planned, what takes over, and what happened."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class PlannedChange(Description, frozen=True, kw_only=True):
    """A difference between what is deployed and what would be."""

    kind: str = ""
    """model, field, prompt, file, knowledge or new."""
    text: str = ""
    """The change in words."""
    lines: list[str] = msgspec.field(default_factory=list)
    """A unified diff, of a prompt or a file."""


class CostOutlook(Description, frozen=True, kw_only=True):
    """The cost of the application's calls, as it was and as it would be if another model had answered them."""

    model: str = ""
    """The model or route that would answer."""
    num_days: int = 0
    num_calls: int = 0
    """The calls of its models in these days."""
    was: dict[str, str] = msgspec.field(default_factory=dict)
    """Their cost, by currency, as decimals."""
    cost: str | None = None
    """Their cost with the other model, by the prices of now; null where no price applies."""
    currency: str = ""
    text: str = ""


class ReleasePlan(Description, frozen=True, kw_only=True):
    """The changes that a release of a folder would make. Planning makes none."""

    app: str = ""
    environment: str = ""
    current: str | None = None
    """The version that is deployed, such as support@3; null: none."""
    version: str | None = None
    """The version that these files are; null: they are none yet."""
    newest_release: int = 0
    """The number of the newest release, which `apply` expects to be the newest one still."""
    has_changes: bool = False
    changes: list[PlannedChange] = msgspec.field(default_factory=list)
    drift: list[str] = msgspec.field(default_factory=list)
    """The changes that other hands have made since the last release."""
    cost: CostOutlook | None = None
    """The cost where another model would answer; null if the model stays, or there were no calls."""
    rollout: str = ""
    """The way in which it would take over."""


class ReleaseDescription(Description, frozen=True, kw_only=True):
    """A version of an application that takes over, or has."""

    app: str = ""
    number: int = 0
    """Counts the releases of the application, from 1."""
    environment: str = ""
    version: str = ""
    before: str | None = None
    """The version that was deployed before."""
    state: str = ""
    """`starting`, `running` (it takes over in steps), `active`, `superseded` or `rolled_back`."""
    percent: float = 0.0
    """The share of the callers that it answers."""
    step: int = -1
    """The index into `steps`; -1 while it starts."""
    steps: list[float] = msgspec.field(default_factory=list)
    """Empty: it took over at once."""
    gate: str = ""
    min_runs: int = 0
    max_hold_seconds: int | None = None
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    """The versions behind the names of its models and its knowledge when it began."""
    reason: str = ""
    """Why it is in its state, with the numbers."""
    begun_by: str | None = None
    created_at: datetime | None = None
    active_at: datetime | None = None
    """The time from which it answered all callers."""
    ended_at: datetime | None = None


class ReleaseEventDescription(Description, frozen=True, kw_only=True):
    release: int = 0
    at: datetime | None = None
    kind: str = ""
    """`began`, `stepped`, `active`, `superseded` or `rolled_back`."""
    actor: str | None = None
    reason: str = ""
