"""Whose turn it is to run. Knows priorities, callers and what they were given; knows no blocks.

The highest priority goes first. A priority that waits while others are served rises by one every STEPS_PER_PRIORITY
steps, until one of its sequences was taken; so none waits for ever, and what was asked first loses no turn to the age
of a crowd behind it. Among equals the caller goes first that was given least: a virtual token counter (Sheng et al.
2024, Fairness in Serving Large Language Models, algorithm 2). A caller's own requests go as they came.

Who comes starts at a virtual time, which goes on with every token that anybody is given (Bennett and Zhang 1997,
Hierarchical Packet Fair Queueing Algorithms: WF2Q+). So callers who come can't put those who wait off for ever.
"""

import heapq
from bisect import insort
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from llmos.engine.scheduling.sequence import by_arrival

STEPS_PER_PRIORITY = 64
"""How long a priority waits to be worth as much as the next one."""

MAX_PASSED_OVER = 32
"""Sequences that can't run now, and behind which others are looked at, in one step."""


class Waiter(Protocol):
    """Who may wait for a turn: a Sequence, or a text that becomes a vector."""

    caller: str
    priority: int
    arrival: int
    """Of one caller's, the lower goes first."""
    num_charged: int
    """Tokens that its caller was charged for."""


W = TypeVar("W", bound=Waiter)


class Caller:
    """Somebody whose requests are in the engine."""

    __slots__ = ("is_idle", "name", "num_live", "num_waiting", "service")

    def __init__(self, name: str) -> None:
        self.name = name
        self.service = 0.0
        """Tokens computed for this caller, and the virtual time that went by while it asked for nothing."""
        self.num_live = 0
        self.num_waiting = 0
        self.is_idle = False
        """It is among those that are looked through for accounts to drop."""


class _Level(Generic[W]):
    """All who wait with one priority."""

    __slots__ = ("queues", "since")

    def __init__(self, step: int) -> None:
        self.since = step
        """The step at which one of them was taken last, or the first of them came."""
        self.queues: dict[str, list[W]] = {}
        """Caller -> its sequences, oldest first."""


class Turns(Generic[W]):
    """Those who wait, and the accounts of all callers that have some in the engine."""

    def __init__(self) -> None:
        self.step = 0
        self._levels: dict[int, _Level[W]] = {}
        self._callers: dict[str, Caller] = {}
        self._idle: list[tuple[float, str]] = []
        """A heap of callers that had nothing in the engine when they were put here, and of their service then."""
        self._time = 0.0
        """The virtual time: what a caller is given that asks all the time, and always gets its share."""
        self._num_live_callers = 0
        self._num_waiting = 0

    def __len__(self) -> int:
        return self._num_waiting

    def __iter__(self) -> Iterator[W]:
        for level in self._levels.values():
            for queue in level.queues.values():
                yield from queue

    def num_running(self, caller: str) -> int:
        account = self._callers[caller]
        return account.num_live - account.num_waiting

    def enter(self, sequence: W) -> None:
        """A new sequence waits."""
        caller = self._callers.get(sequence.caller)
        if caller is None:
            caller = self._callers[sequence.caller] = Caller(sequence.caller)
        if not caller.num_waiting:
            # Whoever asked for nothing saves nothing up by it.
            caller.service = max(caller.service, self._time)
        self._num_live_callers += not caller.num_live
        caller.num_live += 1
        self.wait(sequence)

    def leave(self, sequence: W) -> None:
        """The sequence, which doesn't wait, ended."""
        caller = self._callers[sequence.caller]
        caller.num_live -= 1
        if caller.num_live:
            return
        self._num_live_callers -= 1
        if not caller.is_idle:
            caller.is_idle = True
            heapq.heappush(self._idle, (caller.service, caller.name))
        self._forget_idle()

    def wait(self, sequence: W) -> None:
        """The sequence waits, once more perhaps; it stands by its arrival."""
        level = self._levels.get(sequence.priority)
        if level is None:
            level = self._levels[sequence.priority] = _Level(self.step)
        insort(level.queues.setdefault(sequence.caller, []), sequence, key=by_arrival)
        self._callers[sequence.caller].num_waiting += 1
        self._num_waiting += 1

    def take(self, sequence: W) -> None:
        """The sequence waits no longer: it runs."""
        self._levels[sequence.priority].since = self.step
        self.withdraw(sequence)

    def withdraw(self, sequence: W) -> None:
        """The sequence waits no longer: nobody wants it."""
        level = self._levels[sequence.priority]
        queue = level.queues[sequence.caller]
        queue.remove(sequence)
        if not queue:
            del level.queues[sequence.caller]
            if not level.queues:
                del self._levels[sequence.priority]
        self._callers[sequence.caller].num_waiting -= 1
        self._num_waiting -= 1

    def charge(self, sequence: W, num_tokens: int) -> None:
        """The caller is given the tokens up to `num_tokens` of the sequence. None is charged twice: that blocks ran out
        is no fault of the caller."""
        count = num_tokens - sequence.num_charged
        if count <= 0:
            return
        caller = self._callers[sequence.caller]
        caller.service += count
        sequence.num_charged = num_tokens
        if self._num_waiting:
            self._time += count / self._num_live_callers
        else:
            # What nobody waited for was taken from nobody: it counts for no turn to come.
            self._time = max(self._time, caller.service)

    def is_before(self, sequence: W, other: W) -> bool:
        """Whether `sequence`, which waits, would have its turn before `other` if that one waited, too."""
        return self._rank(sequence.priority, sequence) < self._rank(other.priority, other)

    def in_order(self) -> Iterator[W]:
        """Yield who may run next, best first. The one that was yielded may be taken; nothing else may change."""
        heap = []
        # Whoever comes doesn't go before all who wait already.
        waiting = (self._callers[name] for level in self._levels.values() for name in level.queues)
        least = min((caller.service for caller in waiting), default=0.0)
        self._time = max(self._time, least)
        for priority, level in self._levels.items():
            for caller, queue in level.queues.items():
                heap.append((self._rank(priority, queue[0]), priority, caller, 0))
        heapq.heapify(heap)
        num_passed_over = 0
        while heap and num_passed_over < MAX_PASSED_OVER:
            rank, priority, caller, place = heapq.heappop(heap)
            if priority not in self._levels or place >= len(queue := self._levels[priority].queues.get(caller, [])):
                continue
            sequence = queue[place]
            # Somebody may have been taken meanwhile; that makes a rank worse, never better.
            if self._rank(priority, sequence) == rank:
                yield sequence
                if place < len(queue) and queue[place] is sequence:
                    num_passed_over += 1
                    place += 1
            if place < len(queue):
                heapq.heappush(heap, (self._rank(priority, queue[place]), priority, caller, place))

    def check_invariants(self) -> None:
        """Assert that the counts agree with the queues."""
        waiting = list(self)
        assert len(waiting) == len(self) == sum(caller.num_waiting for caller in self._callers.values())
        for priority, level in self._levels.items():
            assert level.queues
            for name, queue in level.queues.items():
                assert queue == sorted(queue, key=by_arrival) != []
                assert all((each.priority, each.caller) == (priority, name) for each in queue)
        for caller in self._callers.values():
            assert 0 <= caller.num_waiting <= caller.num_live
            assert caller.num_live or caller.is_idle, "an account is never dropped"
        assert sorted(name for _, name in self._idle) == sorted(c.name for c in self._callers.values() if c.is_idle)
        assert self._num_live_callers == sum(caller.num_live > 0 for caller in self._callers.values())

    def _rank(self, priority: int, sequence: W) -> tuple[int, float, int]:
        level = self._levels.get(priority)
        risen = priority + (self.step - level.since) // STEPS_PER_PRIORITY if level else priority
        return -risen, self._callers[sequence.caller].service, sequence.arrival

    def _forget_idle(self) -> None:
        """Drop the accounts that would say nothing new if their callers came back."""
        if not self._num_live_callers:
            self._callers.clear()
            self._idle.clear()
            self._time = 0.0
            return
        while self._idle and self._idle[0][0] <= self._time:
            _, name = heapq.heappop(self._idle)
            caller = self._callers[name]
            caller.is_idle = not caller.num_live and caller.service > self._time
            if caller.is_idle:
                heapq.heappush(self._idle, (caller.service, name))
            elif not caller.num_live:
                del self._callers[name]
