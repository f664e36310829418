"""Who may come in. More load than a model can take is refused at the door, so that what was let in is answered in time.

    running   at most max_running choices for each replica: what the engine computes at once
    queued    at most max_queued more for each, of which one caller holds half

Half, and always: one caller who fills the queue must leave room for the one who comes next. A caller who has nothing
open comes in whatever its size, since a call that is larger than its share could otherwise never run; it takes up no
more than a share of the room, so that it keeps nobody out. What runs in the background takes no room at all, and is
never refused: whoever runs it sees to it that it stays little, and asks num_open how busy the others are.

Every call that comes in leaves by one of three doors, and accepted = answered + failed + cancelled + running at any
moment. Knows nothing of prompts, tokens and processes.
"""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from llmos.core.errors import Overloaded

LONGEST_RETRY_SECONDS = 60
"""Callers are never told to stay away longer than this: by then the guess is worth nothing."""

Outcome = Literal["answered", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Calls:
    """What became of the calls for one Version."""

    accepted: int = 0
    answered: int = 0
    failed: int = 0
    cancelled: int = 0
    """The caller went away first."""
    running: int = 0
    """Accepted and not at their end: queued ones too."""
    rejected: int = 0
    """Never accepted: there was no room."""
    num_queued: int = 0
    """Choices beyond those that are computed at once."""


class Admission:
    """Belongs to the event loop's thread; any thread may read calls()."""

    def __init__(
        self, *, max_running: int = 64, max_queued: int = 512, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_running = max_running
        self._max_queued = max_queued
        self._clock = clock
        self._lines: dict[str, _Line] = {}

    @property
    def num_open(self) -> int:
        """The choices that are computed or wait, those in the background left out."""
        return sum(line.num_open for line in self._lines.values())

    @contextmanager
    def admit(self, version: str, caller: str, num_choices: int, *, is_background: bool = False) -> Iterator[None]:
        """Hold room for a call while the body runs, and note how it left.

        Raises Overloaded, which says when to come back, where there is no room.
        """
        line = self._line(version)
        if not is_background:
            line.take_room(caller, num_choices)
        line.note(accepted=1, running=1)
        outcome: Outcome = "failed"
        try:
            yield
            outcome = "answered"
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "cancelled"
            raise
        finally:
            if not is_background:
                line.give_room(caller, num_choices)
            line.note(running=-1, **{outcome: 1})

    def set_replicas(self, version: str, num_replicas: int) -> None:
        """Give a version room for as many replicas as are ready. One that has none is being loaded: room for one."""
        self._line(version).num_replicas = max(1, num_replicas)

    def _line(self, version: str) -> "_Line":
        line = self._lines.get(version)
        if line is None:
            line = self._lines[version] = _Line(version, self._max_running, self._max_queued, self._clock)
        return line

    def calls(self) -> Mapping[str, Calls]:
        """What became of the calls so far, by Version."""
        return {version: line.calls for version, line in list(self._lines.items())}


class _Line:
    """The room in front of one Version. All counts are in choices but those in `calls`."""

    def __init__(self, version: str, max_running: int, max_queued: int, clock: Callable[[], float]) -> None:
        self._version = version
        self._max_running_each = max_running
        self._max_queued_each = max_queued
        self.num_replicas = 1
        self._clock = clock
        self._num_open_of: Counter[str] = Counter()
        self._departures: deque[tuple[float, int]] = deque(maxlen=64)
        """The last ones since anything has been open: when, and how many choices."""
        self.calls = Calls()
        """Replaced as a whole, so that who reads it from another thread sees one moment."""

    @property
    def num_open(self) -> int:
        return self._num_open_of.total()

    @property
    def _max_running(self) -> int:
        return self.num_replicas * self._max_running_each

    @property
    def _max_open(self) -> int:
        return self._max_running + self.num_replicas * self._max_queued_each

    @property
    def _share(self) -> int:
        return self._max_running + self.num_replicas * self._max_queued_each // 2

    def take_room(self, caller: str, num_choices: int) -> None:
        num_own = self._num_open_of[caller]
        num_taken = sum(min(num, self._share) for num in self._num_open_of.values())
        is_over_share = num_own > 0 and num_own + num_choices > self._share
        is_full = num_taken > 0 and num_taken + min(num_choices, self._share) > self._max_open
        if is_over_share or is_full:
            self.note(rejected=1)
            raise self._overloaded(num_own if is_over_share and not is_full else None)
        self._num_open_of[caller] += num_choices

    def give_room(self, caller: str, num_choices: int) -> None:
        self._num_open_of[caller] -= num_choices
        if not self._num_open_of[caller]:
            del self._num_open_of[caller]  # callers come and go; this must not grow with them
        self._departures.append((self._clock(), num_choices))
        if not self._num_open_of:
            self._departures.clear()  # what comes after a pause must not be measured by it

    def note(self, **changes: int) -> None:
        counts = {name: getattr(self.calls, name) + change for name, change in changes.items()}
        self.calls = replace(self.calls, **counts, num_queued=self._num_queued())

    def _num_queued(self) -> int:
        return max(0, self._num_open_of.total() - self._max_running)

    def _overloaded(self, num_own: int | None) -> Overloaded:
        seconds = self._retry_seconds()
        if num_own is None:
            reason = f"{self._version} has all the requests that it can take: {self._num_queued():,} choices wait"
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
        return min(LONGEST_RETRY_SECONDS, max(1, math.ceil(self._num_queued() / per_second)))
