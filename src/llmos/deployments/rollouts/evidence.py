"""Evidence: the outcomes of calls, by route and target. The gates of rollouts are judged by it.

Judged in memory: the last MAX_OUTCOMES of each target, for the MAX_KEYS targets that were used last. A window says
whether it has every call since its beginning. Percentiles are exact (nearest rank). Any thread may call any method.

kept_evidence.py keeps it in the database, and brings what other servers saw and what this one saw before its start.
"""

import contextlib
import math
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, TypeVar

import msgspec

from llmos.core.clock import Clock, utc_now
from llmos.core.schemas.routes import ShadowEvidence, Spread, TargetEvidence

MAX_OUTCOMES = 4096
MAX_KEYS = 256
MAX_NEW = 20_000
"""Pieces of evidence that wait for the database, if it is away for a while."""

MIN_TIMED_TOKENS = 8
"""The rate of an answer with fewer tokens after the first one says nothing: they may arrive together, in one step."""

Kind = Literal["answered", "failed", "refused", "cancelled"]
"""refused: a mistake of the caller. cancelled: the caller went away first. Neither counts for or against a target."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOutcome:
    """The outcome of one call at one target. A call that fell back has one for each target that it tried."""

    kind: Kind
    version: str
    """The version that the target named at that time: `smollm2@1`."""
    error: str | None = None
    """The code of the error in which it ended."""
    seconds: float = 0.0
    first_token_seconds: float | None = None
    num_later_tokens: int = 0
    """Tokens after the first one, of the longest choice."""
    later_seconds: float = 0.0
    """The time in which those arrived."""
    num_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A shadow's answer to a call, compared with the answer that the caller got."""

    agrees: bool | None = None
    """The texts are equal. None if that means nothing: the call was sampled, or the shadow failed."""
    common_share: float | None = None
    """The share of the longer text that both begin with."""
    seconds: float = 0.0
    shadow_seconds: float | None = None
    error: str | None = None
    """The code of the error in which the shadow ended."""


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of evidence."""

    route: str
    target: str
    at: datetime
    fact: CallOutcome | Comparison


class Evidence:
    def __init__(self, *, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._outcomes = _Recent[CallOutcome]()
        self._comparisons = _Recent[Comparison]()
        self._new: deque[Item] = deque(maxlen=MAX_NEW)

    def record(self, route: str, target: str, outcome: CallOutcome) -> None:
        self._record(Item(route, target, self._clock(), outcome))

    def record_comparison(self, route: str, shadow: str, comparison: Comparison) -> None:
        self._record(Item(route, shadow, self._clock(), comparison))

    def _record(self, item: Item) -> None:
        self._new.append(item)
        self.add(item)

    def add(self, item: Item) -> None:
        """Add what another server saw, or this one before it was started."""
        if isinstance(item.fact, CallOutcome):
            self._outcomes.add(item.route, item.target, item.at, item.fact)
        else:
            self._comparisons.add(item.route, item.target, item.at, item.fact)

    def take_new(self) -> list[Item]:
        """Return what was recorded here since the last call, oldest first; of very much, the newest."""
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._new.popleft())
        return taken

    def put_back(self, items: Sequence[Item]) -> None:
        """Let the next take_new() return these again: they could not be kept."""
        room = MAX_NEW - len(self._new)
        self._new.extendleft(reversed(items[-room:] if room else ()))

    def window(self, route: str, target: str, since: datetime | None = None) -> TargetEvidence:
        """Return the outcomes of the target's calls since a moment, or of all that are kept."""
        is_whole, outcomes = self._outcomes.since(route, target, since)
        num_of = Counter(outcome.kind for outcome in outcomes)
        answered = [outcome for outcome in outcomes if outcome.kind == "answered"]
        timed = [each for each in answered if each.num_later_tokens >= MIN_TIMED_TOKENS and each.later_seconds > 0]
        num_judged = num_of["answered"] + num_of["failed"]
        return TargetEvidence(
            target=target,
            is_whole=is_whole,
            num_calls=len(outcomes),
            num_answered=num_of["answered"],
            num_failed=num_of["failed"],
            num_refused=num_of["refused"],
            num_cancelled=num_of["cancelled"],
            errors=dict(Counter(each.error or "internal_error" for each in outcomes if each.kind == "failed")),
            error_rate=num_of["failed"] / num_judged if num_judged else None,
            seconds=spread_of(each.seconds for each in answered),
            first_token_seconds=spread_of(each.first_token_seconds for each in answered),
            tokens_per_second=_rates_of(timed),
            num_timed_tokens=sum(each.num_later_tokens for each in timed),
        )

    def agreement(self, route: str, shadow: str, since: datetime | None = None) -> ShadowEvidence:
        """Return how the shadow's answers since a moment compare with those that callers got."""
        is_whole, comparisons = self._comparisons.since(route, shadow, since)
        compared = [each for each in comparisons if each.agrees is not None]
        shares = spread_of(each.common_share for each in compared)
        num_agreed = sum(each.agrees is True for each in compared)
        return ShadowEvidence(
            target=shadow,
            is_whole=is_whole,
            num_calls=len(comparisons),
            num_failed=sum(each.error is not None for each in comparisons),
            num_compared=len(compared),
            num_agreed=num_agreed,
            agreement=num_agreed / len(compared) if compared else None,
            common_share=None if shares is None else shares.mean,
            seconds=spread_of(each.seconds for each in comparisons),
            shadow_seconds=spread_of(each.shadow_seconds for each in comparisons),
        )


def spread_of(values: Iterable[float | None]) -> Spread | None:
    """Return how the values are distributed. None if there are none."""
    found = sorted(value for value in values if value is not None)
    if not found:
        return None

    def percentile(percent: int) -> float:
        return found[math.ceil(percent * len(found) / 100) - 1]

    mean = math.fsum(found) / len(found)
    return Spread(num=len(found), mean=mean, p50=percentile(50), p95=percentile(95), p99=percentile(99))


def _rates_of(outcomes: Sequence[CallOutcome]) -> Spread | None:
    """Return tokens per second after the first token. The mean is that of all tokens: a sum over a sum, in which a long
    answer weighs more than a short one."""
    spread = spread_of(each.num_later_tokens / each.later_seconds for each in outcomes)
    if spread is None:
        return None
    seconds = math.fsum(each.later_seconds for each in outcomes)
    return msgspec.structs.replace(spread, mean=sum(each.num_later_tokens for each in outcomes) / seconds)


class _Recent(Generic[T]):
    """The last items of each route and target, each with its time, for the targets that were used last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: OrderedDict[tuple[str, str], deque[tuple[datetime, T]]] = OrderedDict()

    def add(self, route: str, target: str, at: datetime, item: T) -> None:
        with self._lock:
            kept = self._items.setdefault((route, target), deque(maxlen=MAX_OUTCOMES))
            self._items.move_to_end((route, target))
            kept.append((at, item))
            if len(self._items) > MAX_KEYS:
                self._items.popitem(last=False)

    def since(self, route: str, target: str, moment: datetime | None) -> tuple[bool, list[T]]:
        """Return the items since a moment, and before them whether none of those was forgotten."""
        with self._lock:
            kept = list(self._items.get((route, target), ()))
        is_whole = len(kept) < MAX_OUTCOMES or (moment is not None and kept[0][0] < moment)
        return is_whole, [item for at, item in kept if moment is None or at >= moment]
