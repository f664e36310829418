"""Rollouts of Versions on Routes, and their events."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class RolloutDescription(Description, frozen=True, kw_only=True):
    """A Version that takes over a Route step by step."""

    id: int = 0
    route: str = ""
    version: str = ""
    state: str = ""
    """`starting`, `running`, `finished`, `rolled_back`, `superseded` or `stopped`."""
    percent: float = 0.0
    """The percentage of the Route's calls that the Version gets now."""
    step: int = -1
    """The index into `steps`; -1 while it is starting."""
    steps: list[float] = msgspec.field(default_factory=list)
    gate: str = ""
    min_calls: int = 0
    max_hold_seconds: int | None = None
    num_cases: int = 0
    before: dict[str, float] = msgspec.field(default_factory=dict)
    """The Route's targets and weights before it began."""
    baseline: dict[str, float] = msgspec.field(default_factory=dict)
    scores: dict[str, float] = msgspec.field(default_factory=dict)
    reason: str = ""
    """The reason for its state, with figures."""
    begun_by: str | None = None
    step_began_at: datetime | None = None
    created_at: datetime | None = None
    ended_at: datetime | None = None


class RolloutEventDescription(Description, frozen=True, kw_only=True):
    at: datetime | None = None
    kind: str = ""
    """`began`, `stepped`, `finished`, `rolled_back`, `superseded` or `stopped`."""
    actor: str | None = None
    """The key, user or part of the server that caused it; null in events from before this was recorded."""
    reason: str = ""
    data: dict[str, Any] = msgspec.field(default_factory=dict)
