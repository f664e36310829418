"""What became of the calls that came through routes, by route and target: what a rollout's gates decide on.

Kept in memory, the last MAX_OUTCOMES of each target of the MAX_KEYS that were asked last: a window says whether it
still has everything since its beginning. Percentiles are exact (nearest rank). Any thread may note and read.
"""

import math
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, TypeVar

from llmos.core.clock import Clock, utc_now

MAX_OUTCOMES = 4096
MAX_KEYS = 256

Kind = Literal["answered", "failed", "refused", "cancelled"]
"""refused: the caller's own mistake. cancelled: the caller went away first. Neither speaks for or against a target."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one call at one target. A call that fell back has one at each."""

    kind: Kind
    version: str
    """What the target was at that time: `smollm2@1`."""
    error: str | None = None
    """The code of the error that ended it."""
    seconds: float = 0.0
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None
    """After the first. None for an answer that had no more than that."""
    num_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a shadow made of a call, beside what the caller got."""

    agrees: bool | None = None
    """The texts are the same. None where that says nothing: the call was sampled, or the shadow failed."""
    common_share: float | None = None
    """How much of the longer text both begin with."""
    seconds: float = 0.0
    shadow_seconds: float | None = None
    error: str | None = None
    """The code of the error that the shadow ended in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    num: int
    mean: float
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Spread | None":
        """Return how the values are spread, None where there is none."""
        found = sorted(value for value in values if value is not None)
        if not found:
            return None

        def percentile(percent: int) -> float:
            return found[math.ceil(percent * len(found) / 100) - 1]

        mean = math.fsum(found) / len(found)
        return cls(num=len(found), mean=mean, p50=percentile(50), p95=percentile(95), p99=percentile(99))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What became of a target's calls since a moment."""

    is_whole: bool
    """Nothing that belongs in it was forgotten."""
    num_calls: int
    num_answered: int
    num_failed: int
    num_refused: int
    num_cancelled: int
    errors: dict[str, int]
    """Of the failed: how many by code."""
    error_rate: float | None
    """Failed of those that were answered or failed. None before there is one."""
    seconds: Spread | None
    """Of the answered, as the next two."""
    first_token_seconds: Spread | None
    tokens_per_second: Spread | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How a shadow's answers compare with what callers got."""

    is_whole: bool
    num_calls: int
    num_failed: int
    num_compared: int
    """Those whose texts could be: both greedy, and answered."""
    num_agreed: int
    agreement: float | None
    """Of the compared, the share whose texts were the same."""
    common_share: float | None
    """Averaged over the compared."""
    seconds: Spread | None
    shadow_seconds: Spread | None


class Evidence:
    def __init__(self, *, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._outcomes = _Kept[Outcome]()
        self._comparisons = _Kept[Comparison]()

    def record(self, route: str, target: str, outcome: Outcome) -> None:
        self._outcomes.add(route, target, self._clock(), outcome)

    def record_comparison(self, route: str, shadow: str, comparison: Comparison) -> None:
        self._comparisons.add(route, shadow, self._clock(), comparison)

    def window(self, route: str, target: str, since: datetime | None = None) -> Window:
        """Return what became of the target's calls since a moment, or of all that are remembered."""
        is_whole, outcomes = self._outcomes.since(route, target, since)
        num_of = Counter(outcome.kind for outcome in outcomes)
        answered = [outcome for outcome in outcomes if outcome.kind == "answered"]
        num_judged = num_of["answered"] + num_of["failed"]
        return Window(
            is_whole=is_whole,
            num_calls=len(outcomes),
            num_answered=num_of["answered"],
            num_failed=num_of["failed"],
            num_refused=num_of["refused"],
            num_cancelled=num_of["cancelled"],
            errors=dict(Counter(each.error or "internal_error" for each in outcomes if each.kind == "failed")),
            error_rate=num_of["failed"] / num_judged if num_judged else None,
            seconds=Spread.of(each.seconds for each in answered),
            first_token_seconds=Spread.of(each.first_token_seconds for each in answered),
            tokens_per_second=Spread.of(each.tokens_per_second for each in answered),
        )

    def agreement(self, route: str, shadow: str, since: datetime | None = None) -> Agreement:
        """Return how the shadow's answers since a moment compare with what callers got."""
        is_whole, comparisons = self._comparisons.since(route, shadow, since)
        compared = [each for each in comparisons if each.agrees is not None]
        shares = Spread.of(each.common_share for each in compared)
        num_agreed = sum(each.agrees is True for each in compared)
        return Agreement(
            is_whole=is_whole,
            num_calls=len(comparisons),
            num_failed=sum(each.error is not None for each in comparisons),
            num_compared=len(compared),
            num_agreed=num_agreed,
            agreement=num_agreed / len(compared) if compared else None,
            common_share=None if shares is None else shares.mean,
            seconds=Spread.of(each.seconds for each in comparisons),
            shadow_seconds=Spread.of(each.shadow_seconds for each in comparisons),
        )


class _Kept(Generic[T]):
    """The last of each key, each with its time, of the keys that were asked last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: OrderedDict[tuple[str, str], deque[tuple[datetime, T]]] = OrderedDict()

    def add(self, route: str, target: str, at: datetime, each: T) -> None:
        with self._lock:
            kept = self._of.setdefault((route, target), deque(maxlen=MAX_OUTCOMES))
            self._of.move_to_end((route, target))
            kept.append((at, each))
            if len(self._of) > MAX_KEYS:
                self._of.popitem(last=False)

    def since(self, route: str, target: str, moment: datetime | None) -> tuple[bool, list[T]]:
        """Return whether nothing was forgotten since then, and what there is."""
        with self._lock:
            kept = list(self._of.get((route, target), ()))
        is_whole = len(kept) < MAX_OUTCOMES or (moment is not None and kept[0][0] < moment)
        return is_whole, [each for at, each in kept if moment is None or at >= moment]
