"""Admission: more load than a model can take is refused at once, so that admitted calls are answered in time.

    running   at most max_running choices per replica: what the engine computes at the same time
    queued    at most max_queued more per replica, of which one caller holds half

One caller never gets more than half of the queue, so that the next caller finds room. A caller with nothing open is
admitted whatever the size of the call, because a call larger than its share could otherwise never run; it is counted
as one share, so that it keeps no other caller out. Background calls take no room and are never refused: their runners
limit them, and read num_open to see how busy the model is. Knows nothing of prompts, tokens and processes.
"""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from llmos.core.errors import Overloaded
from llmos.security.callers import Caller

LONGEST_RETRY_SECONDS = 60
"""The longest Retry-After that callers are given: longer estimates are unreliable."""


class Admission:
    """Belongs to the event loop's thread; any thread may read num_queued()."""

    def __init__(
        self, *, max_running: int = 64, max_queued: int = 512, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_running = max_running
        self._max_queued = max_queued
        self._clock = clock
        self._queues: dict[str, _VersionQueue] = {}

    @property
    def num_open(self) -> int:
        """The choices that run or wait, without background calls."""
        return sum(queue.num_open for queue in self._queues.values())

    def admit(self, version: str, caller: Caller, num_choices: int) -> AbstractContextManager[None]:
        """Hold room for a call while the body runs. Raises Overloaded, which says when to try again, if there is none.

        `version`: the one whose replicas do the work.
        """
        if caller.is_background:
            return nullcontext()
        return _Room(self._queue(version), caller.fairness_key, num_choices)

    def set_replicas(self, version: str, num_replicas: int) -> None:
        """Give a version room for this many ready replicas. A version without any is being loaded: room for one."""
        self._queue(version).num_replicas = max(1, num_replicas)

    def num_queued(self) -> Mapping[str, int]:
        """Return, for each version, the choices that wait because max_running are running."""
        return {version: queue.num_queued for version, queue in list(self._queues.items())}

    def _queue(self, version: str) -> "_VersionQueue":
        queue = self._queues.get(version)
        if queue is None:
            queue = self._queues[version] = _VersionQueue(version, self._max_running, self._max_queued, self._clock)
        return queue


class _Room:
    """See Admission.admit(). Written out, since every call enters it."""

    __slots__ = ("_caller", "_num_choices", "_queue")

    def __init__(self, queue: "_VersionQueue", caller: str, num_choices: int) -> None:
        self._queue, self._caller, self._num_choices = queue, caller, num_choices

    def __enter__(self) -> None:
        self._queue.acquire(self._caller, self._num_choices)

    def __exit__(self, *_: object) -> None:
        self._queue.release(self._caller, self._num_choices)


class _VersionQueue:
    """The queue of one version. All counts are in choices."""

    def __init__(self, version: str, max_running: int, max_queued: int, clock: Callable[[], float]) -> None:
        self._version = version
        self._max_running_each = max_running
        self._max_queued_each = max_queued
        self.num_replicas = 1
        self._clock = clock
        self.num_open = 0
        self._num_open_of: Counter[str] = Counter()
        """num_open, by caller."""
        self._departures: deque[tuple[float, int]] = deque(maxlen=64)
        """(time, number of choices) of the last calls that ended without a pause between them."""

    @property
    def _max_running(self) -> int:
        return self.num_replicas * self._max_running_each

    @property
    def _max_open(self) -> int:
        return self._max_running + self.num_replicas * self._max_queued_each

    @property
    def _share(self) -> int:
        return self._max_running + self.num_replicas * self._max_queued_each // 2

    def acquire(self, caller: str, num_choices: int) -> None:
        num_own = self._num_open_of[caller]
        num_taken = sum(min(num, self._share) for num in self._num_open_of.values())
        is_over_share = num_own > 0 and num_own + num_choices > self._share
        is_full = num_taken > 0 and num_taken + min(num_choices, self._share) > self._max_open
        if is_over_share or is_full:
            raise self._overloaded(num_own if is_over_share and not is_full else None)
        self.num_open += num_choices
        self._num_open_of[caller] += num_choices

    def release(self, caller: str, num_choices: int) -> None:
        self.num_open -= num_choices
        self._num_open_of[caller] -= num_choices
        if not self._num_open_of[caller]:
            del self._num_open_of[caller]  # The table must not grow with callers that have gone.
        self._departures.append((self._clock(), num_choices))
        if not self._num_open_of:
            self._departures.clear()  # A pause must not count into the pace.

    @property
    def num_queued(self) -> int:
        return max(0, self.num_open - self._max_running)

    def _overloaded(self, num_own: int | None) -> Overloaded:
        seconds = self._retry_seconds()
        if num_own is None:
            reason = f"{self._version} has all the requests that it can take: {self.num_queued:,} choices wait"
        else:
            reason = f"You have {num_own:,} choices open on {self._version}, which takes {self._share:,} of one caller"
        return Overloaded(
            f"{reason}. Try again in {seconds} second{'s' * (seconds != 1)}.", retry_after_seconds=seconds
        )

    def _retry_seconds(self) -> int:
        """Return how long the queue takes at the pace of the last departures, in whole seconds, rounded up."""
        if not self._departures:
            return 1
        first_at, _ = self._departures[0]
        elapsed_seconds = max(self._clock() - first_at, 1e-3)
        per_second = sum(num for _, num in self._departures) / elapsed_seconds
        return min(LONGEST_RETRY_SECONDS, max(1, math.ceil(self.num_queued / per_second)))
