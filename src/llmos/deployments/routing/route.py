"""Route: a name that callers ask for, with its targets by weight, and its moves. Knows no database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from llmos.core.errors import BadRequest
from llmos.deployments.routing.choice import choose, draw
from llmos.deployments.targets import check_fallbacks, check_percents, check_target

Sticky = Literal["user", "caller", "none"]
"""user: calls with the same `user` get the same target; a call without one is drawn alone. caller: calls with the same
key get the same target. none: every call is drawn alone."""

MAX_TIMEOUT_SECONDS = 3600.0

STICKY: tuple[Sticky, ...] = ("user", "caller", "none")


@dataclass(frozen=True, slots=True)
class Shadow:
    """A target that also runs a share of the calls, to compare. Its answers are thrown away."""

    target: str
    percent: float = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSettings:
    """The settings of a route besides its targets."""

    fallbacks: Sequence[str] = ()
    """Tried in this order if a target fails before its first token."""
    shadow: Shadow | None = None
    sticky: Sticky = "user"
    timeout_seconds: float | None = None
    """The limit for the first token, or for a whole answer that isn't streamed."""
    cache: bool = False
    """Give the same answer again to the same request of a project, where the request determines it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(RouteSettings):
    name: str
    percent_of: Mapping[str, float]
    """The targets, as they were written, and the percent of the calls that each gets. They add up to 100."""
    updated_at: datetime

    @property
    def target(self) -> str:
        """The target that gets most of the calls."""
        return max(self.percent_of, key=lambda target: self.percent_of[target])

    @property
    def targets(self) -> tuple[str, ...]:
        """All targets, including fallbacks and shadow, each once."""
        shadow = [] if self.shadow is None else [self.shadow.target]
        return tuple(dict.fromkeys([*self.percent_of, *self.fallbacks, *shadow]))

    def order(self, *, caller: str, user: str, call_id: str) -> list[str]:
        """Return the targets that a call tries, in order."""
        key = call_id
        if self.sticky == "caller" or (self.sticky == "user" and user):
            key = f"{self.name}\n{caller}\n{user if self.sticky == 'user' else ''}"
        chosen = choose(self.percent_of, key)
        return [chosen, *(fallback for fallback in self.fallbacks if fallback != chosen)]

    def shadow_of(self, call_id: str) -> str | None:
        """Return the target that also runs this call, or None."""
        if self.shadow is None or draw(call_id, "shadow") * 100 >= self.shadow.percent:
            return None
        return self.shadow.target

    def snapshot(self) -> dict[str, Any]:
        """Return the JSON object that a move in the history keeps of the route."""
        shadow = None if self.shadow is None else {"target": self.shadow.target, "percent": self.shadow.percent}
        return {
            "targets": dict(self.percent_of),
            "fallbacks": list(self.fallbacks),
            "shadow": shadow,
            "sticky": self.sticky,
            "timeout_seconds": self.timeout_seconds,
            "cache": self.cache,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A change of a route. The history outlives the route."""

    route: str
    moved_at: datetime
    moved_by: str | None
    reason: str | None
    before: Mapping[str, Any] | None
    """Route.snapshot; None if there was no route."""
    after: Mapping[str, Any] | None
    """None if it was removed."""


def with_weights(route: Route, percent_of: Mapping[str, float]) -> Route:
    """Return the route with other weights.

    Raises BadRequest as check_route does, except for a fallback or a shadow that becomes the only target: it stays in
    the route and has no effect until the weights change again.
    """
    shares = check_percents(percent_of)
    targets = list(shares)
    check_route(
        replace(
            route,
            percent_of=shares,
            fallbacks=tuple(fallback for fallback in route.fallbacks if targets != [fallback]),
            shadow=None if route.shadow is None or targets == [route.shadow.target] else route.shadow,
        )
    )
    return replace(route, percent_of=shares)


def parse_sticky(text: str) -> Sticky:
    """Raises BadRequest for any other text."""
    for sticky in STICKY:
        if text == sticky:
            return sticky
    raise BadRequest(f"`sticky` is {text!r:.80}; it must be one of {', '.join(STICKY)}.", param="sticky")


def check_route(route: Route) -> Route:
    """Return the route without targets of 0 %. Raises BadRequest, naming the field, for an impossible one.

    Doesn't check whether the targets exist.
    """
    shares = check_percents(route.percent_of)
    fallbacks = check_fallbacks(shares, route.fallbacks)
    parse_sticky(route.sticky)
    if (seconds := route.timeout_seconds) is not None and not 0 < seconds <= MAX_TIMEOUT_SECONDS:
        raise BadRequest(
            f"timeout_seconds is {seconds:g}; it must be more than 0 and at most {MAX_TIMEOUT_SECONDS:g}.",
            param="timeout_seconds",
        )
    if (shadow := route.shadow) is not None:
        if list(shares) == [shadow.target]:
            raise BadRequest(f"{shadow.target} can't be its own shadow. Name another target.", param="shadow")
        if not 0 < shadow.percent <= 100:
            raise BadRequest(
                f"The percent of the shadow is {shadow.percent:g}; it must be more than 0 and at most 100.",
                param="shadow",
            )
    route = replace(route, percent_of=shares, fallbacks=fallbacks)
    for target in route.targets:
        check_target(target)
    return route
