"""Routes, their changes, and the outcomes of their calls."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class RouteTarget(Description, frozen=True, kw_only=True):
    target: str = ""
    """The reference of a model, or remote:PROVIDER/MODEL."""
    percent: float = 100.0
    """The percentage of the calls that the target gets. The percentages of a Route's targets add up to 100."""


class RouteDescription(Description, frozen=True, kw_only=True):
    """A name that callers ask for, and the models that answer."""

    name: str = ""
    target: str = ""
    """The target that gets most of the calls: the reference of a model, or remote:PROVIDER/MODEL."""
    version: str | None = None
    """The Version that `target` names now; null if there is none."""
    missing: list[str] = msgspec.field(default_factory=list)
    """Targets, fallbacks and shadows that don't exist."""
    targets: list[RouteTarget] = msgspec.field(default_factory=list)
    fallbacks: list[str] = msgspec.field(default_factory=list)
    """Tried in this order when a target fails before its first token."""
    shadow: RouteTarget | None = None
    """A target that also runs a share of the calls, to compare."""
    sticky: str = ""
    """`user`, `caller` (the API key) or `none`: the calls of one user or caller always go to the same target."""
    timeout_seconds: float | None = None
    """The time limit for the first token of a stream, or for a whole answer that isn't streamed."""
    cache: bool = False
    """The response cache is on: the same request of a project gets the stored answer, if sampling is deterministic."""
    updated_at: datetime | None = None


class RouteMove(Description, frozen=True, kw_only=True):
    """A change of a Route."""

    moved_at: datetime | None = None
    moved_by: str | None = None
    reason: str | None = None
    before: dict[str, Any] | None = None
    """targets, fallbacks, shadow, sticky, timeout_seconds, cache; null if the Route didn't exist."""
    after: dict[str, Any] | None = None
    """null if it was removed."""


class Spread(Description, frozen=True, kw_only=True):
    """The distribution of measured values."""

    num: int = 0
    mean: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0


class TargetEvidence(Description, frozen=True, kw_only=True):
    """The outcomes of a target's calls."""

    target: str = ""
    is_whole: bool = True
    """True if the numbers cover every call of the window; false if the oldest were dropped."""
    num_calls: int = 0
    num_answered: int = 0
    num_failed: int = 0
    num_refused: int = 0
    """The number of calls that failed because of a mistake of the caller."""
    num_cancelled: int = 0
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    """The number of failed calls by error code."""
    error_rate: float | None = None
    """The number of failed calls divided by the number of answered and failed calls."""
    seconds: Spread | None = None
    first_token_seconds: Spread | None = None
    tokens_per_second: Spread | None = None
    """The speed after the first token, in answers with at least 9 tokens. The mean is over all their tokens."""
    num_timed_tokens: int = 0
    """The number of tokens that tokens_per_second was measured with."""


class ShadowEvidence(Description, frozen=True, kw_only=True):
    """The comparison of a shadow's answers with those that callers got."""

    target: str = ""
    is_whole: bool = True
    num_calls: int = 0
    num_failed: int = 0
    num_compared: int = 0
    """The number of calls whose two texts can be compared, because both were decoded greedily."""
    num_agreed: int = 0
    agreement: float | None = None
    """The share of the compared calls whose texts are equal."""
    common_share: float | None = None
    """The length of the common beginning divided by the length of the longer text, on average."""
    seconds: Spread | None = None
    """The durations of the answers that callers got."""
    shadow_seconds: Spread | None = None


class RouteEvidence(Description, frozen=True, kw_only=True):
    """The outcomes of a Route's calls that the server remembers: the last 4,096 of each target since it started."""

    targets: list[TargetEvidence] = msgspec.field(default_factory=list)
    shadow: ShadowEvidence | None = None


class RouteDetails(RouteDescription, frozen=True, kw_only=True):
    """A Route with the outcomes of its calls."""

    evidence: RouteEvidence | None = None
    """null if no server that runs the Route answers."""
