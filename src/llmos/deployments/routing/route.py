"""A Route as everybody but the database knows it, and a move in its history."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from llmos.core.errors import BadRequest
from llmos.deployments.routing.choice import choose, draw
from llmos.deployments.targets import check_fallbacks, check_percents, check_target

Sticky = Literal["user", "caller", "none"]
"""user: who names the same `user` meets the same target; a call that names none is drawn by itself. caller: whoever
comes with the same key does. none: every call is drawn by itself."""

MAX_TIMEOUT_SECONDS = 3600.0

STICKY: tuple[Sticky, ...] = ("user", "caller", "none")


@dataclass(frozen=True, slots=True)
class Shadow:
    """A target that gets a share of the calls besides, to compare: its answers go to nobody."""

    target: str
    percent: float = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    name: str
    percent_of: Mapping[str, float]
    """The targets, as they were written, and the share of the calls that each gets. They come to 100."""
    fallbacks: tuple[str, ...] = ()
    """Tried in this order where a target fails before it has said anything."""
    shadow: Shadow | None = None
    sticky: Sticky = "user"
    timeout_seconds: float | None = None
    """How long a target may take to its first token, or to a whole answer that isn't streamed."""
    updated_at: datetime

    @property
    def target(self) -> str:
        """The one that gets most of the calls."""
        return max(self.percent_of, key=lambda target: self.percent_of[target])

    @property
    def targets(self) -> tuple[str, ...]:
        """Every one that may be asked: fallbacks and shadow too, each once."""
        shadow = [] if self.shadow is None else [self.shadow.target]
        return tuple(dict.fromkeys([*self.percent_of, *self.fallbacks, *shadow]))

    def order(self, *, caller: str, user: str, call_id: str) -> list[str]:
        """Return the targets that a call tries, one after another."""
        key = call_id
        if self.sticky == "caller" or (self.sticky == "user" and user):
            key = f"{self.name}\n{caller}\n{user if self.sticky == 'user' else ''}"
        chosen = choose(self.percent_of, key)
        return [chosen, *(fallback for fallback in self.fallbacks if fallback != chosen)]

    def shadow_of(self, call_id: str) -> str | None:
        """Return the target that runs this call besides, None where it isn't this call's turn."""
        if self.shadow is None or draw(call_id, "shadow") * 100 >= self.shadow.percent:
            return None
        return self.shadow.target

    def settings(self) -> dict[str, Any]:
        """What a move in the history keeps of the route, as JSON."""
        shadow = None if self.shadow is None else {"target": self.shadow.target, "percent": self.shadow.percent}
        return {
            "targets": dict(self.percent_of),
            "fallbacks": list(self.fallbacks),
            "shadow": shadow,
            "sticky": self.sticky,
            "timeout_seconds": self.timeout_seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A change of a route. The history outlives the route."""

    route: str
    moved_at: datetime
    moved_by: str | None
    reason: str | None
    before: Mapping[str, Any] | None
    """Route.settings, None where there was no route."""
    after: Mapping[str, Any] | None
    """None where it was removed."""


def with_weights(route: Route, percent_of: Mapping[str, float]) -> Route:
    """Return the route with its calls shared out anew. Raises BadRequest as `checked` does, but for a fallback or a
    shadow that becomes the only target: it has nothing to do, until the calls are shared out again."""
    shares = check_percents(percent_of)
    own = list(shares)
    checked(
        replace(
            route,
            percent_of=shares,
            fallbacks=tuple(fallback for fallback in route.fallbacks if own != [fallback]),
            shadow=None if route.shadow is None or own == [route.shadow.target] else route.shadow,
        )
    )
    return replace(route, percent_of=shares)


def sticky_of(text: str) -> Sticky:
    """Raises BadRequest for what isn't one."""
    for sticky in STICKY:
        if text == sticky:
            return sticky
    raise BadRequest(f"`sticky` is {text!r:.80}; it takes {', '.join(STICKY)}.", param="sticky")


def checked(route: Route) -> Route:
    """Return a route that can be meant. Raises BadRequest, naming the field, for any other; looks nothing up."""
    shares = check_percents(route.percent_of)
    fallbacks = check_fallbacks(shares, route.fallbacks)
    sticky_of(route.sticky)
    if (seconds := route.timeout_seconds) is not None and not 0 < seconds <= MAX_TIMEOUT_SECONDS:
        raise BadRequest(
            f"The timeout is {seconds:g} seconds; it takes more than 0 and at most {MAX_TIMEOUT_SECONDS:g}.",
            param="timeout_seconds",
        )
    if (shadow := route.shadow) is not None:
        if list(shares) == [shadow.target]:
            raise BadRequest(f"{shadow.target} can't be its own shadow. Name another target.", param="shadow")
        if not 0 < shadow.percent <= 100:
            raise BadRequest(
                f"The shadow gets {shadow.percent:g} % of the calls; it takes more than 0 and at most 100.",
                param="shadow",
            )
    route = replace(route, percent_of=shares, fallbacks=fallbacks)
    for target in route.targets:
        check_target(target)
    return route
