"""Whose turn it is to run. Knows priorities, callers and what they were given; knows no blocks.

The highest priority goes first. A priority that waits while others are served rises by one every STEPS_PER_PRIORITY
steps, until one of its sequences was taken; so none waits for ever, and what was asked first loses no turn to the age
of a crowd behind it. Among equals the caller goes first that was given least: a virtual token counter (Sheng et al.
2024, Fairness in Serving Large Language Models, algorithm 2). A caller's own requests go as they came.
"""

import heapq
from bisect import insort
from collections.abc import Iterator

from llmos.engine.sequence import Sequence

STEPS_PER_PRIORITY = 64
"""How long a priority waits to be worth as much as the next one."""

MAX_PASSED_OVER = 64
"""Sequences that can't run now, and behind which others are looked at, in one step."""


class Caller:
    """Somebody whose requests are in the engine."""

    __slots__ = ("name", "num_live", "num_waiting", "service")

    def __init__(self, name: str) -> None:
        self.name = name
        self.service = 0
        """Tokens computed for this caller; at least what those had who waited when this one came."""
        self.num_live = 0
        self.num_waiting = 0


class _Level:
    """All who wait with one priority."""

    __slots__ = ("queues", "since")

    def __init__(self, step: int) -> None:
        self.since = step
        """The step at which one of them was taken last, or the first of them came."""
        self.queues: dict[str, list[Sequence]] = {}
        """Caller -> its sequences, oldest first."""


class Turns:
    """The sequences that wait, and the accounts of all callers that have some in the engine."""

    def __init__(self) -> None:
        self.step = 0
        self._levels: dict[int, _Level] = {}
        self._callers: dict[str, Caller] = {}
        self._served_last: Caller | None = None
        self._num_waiting = 0

    def __len__(self) -> int:
        return self._num_waiting

    def __iter__(self) -> Iterator[Sequence]:
        for level in self._levels.values():
            for queue in level.queues.values():
                yield from queue

    def num_running(self, caller: str) -> int:
        account = self._callers[caller]
        return account.num_live - account.num_waiting

    def enter(self, sequence: Sequence) -> None:
        """A new sequence waits."""
        caller = self._callers.get(sequence.caller)
        if caller is None:
            caller = self._callers[sequence.caller] = Caller(sequence.caller)
        if not caller.num_waiting:
            # Whoever asked for nothing saves nothing up by it.
            caller.service = max(caller.service, self._floor())
        caller.num_live += 1
        self.wait(sequence)

    def leave(self, sequence: Sequence) -> None:
        """The sequence, which doesn't wait, ended."""
        caller = self._callers[sequence.caller]
        caller.num_live -= 1
        if not caller.num_live:
            self._forget_idle()

    def wait(self, sequence: Sequence) -> None:
        """The sequence waits, once more perhaps; it stands by its arrival."""
        level = self._levels.get(sequence.priority)
        if level is None:
            level = self._levels[sequence.priority] = _Level(self.step)
        insort(level.queues.setdefault(sequence.caller, []), sequence, key=_arrival)
        self._callers[sequence.caller].num_waiting += 1
        self._num_waiting += 1

    def take(self, sequence: Sequence) -> None:
        """The sequence waits no longer: it runs."""
        self._levels[sequence.priority].since = self.step
        self._served_last = self._callers[sequence.caller]
        self.withdraw(sequence)

    def withdraw(self, sequence: Sequence) -> None:
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

    def charge(self, sequence: Sequence, num_tokens: int) -> None:
        """The caller is given the tokens up to `num_tokens` of the sequence. None is charged twice: that blocks ran out
        is no fault of the caller."""
        if num_tokens > sequence.num_charged:
            self._callers[sequence.caller].service += num_tokens - sequence.num_charged
            sequence.num_charged = num_tokens

    def in_order(self) -> Iterator[Sequence]:
        """Yield who may run next, best first. The one that was yielded may be taken; nothing else may change."""
        heap = []
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
                assert queue == sorted(queue, key=_arrival) != []
                assert all((each.priority, each.caller) == (priority, name) for each in queue)
        for caller in self._callers.values():
            assert 0 <= caller.num_waiting <= caller.num_live

    def _rank(self, priority: int, sequence: Sequence) -> tuple[int, int, int]:
        risen = priority + (self.step - self._levels[priority].since) // STEPS_PER_PRIORITY
        return -risen, self._callers[sequence.caller].service, sequence.arrival

    def _floor(self) -> int:
        """What a caller that begins to wait has been given at least."""
        waiting = [caller.service for caller in self._callers.values() if caller.num_waiting]
        if waiting:
            return min(waiting)
        return self._served_last.service if self._served_last else 0

    def _forget_idle(self) -> None:
        """Drop the accounts that would say nothing new if their callers came back."""
        if not any(caller.num_live for caller in self._callers.values()):
            self._callers.clear()
            self._served_last = None
            return
        floor = self._floor()
        for caller in [c for c in self._callers.values() if not c.num_live and c.service <= floor]:
            del self._callers[caller.name]


def _arrival(sequence: Sequence) -> int:
    return sequence.arrival
