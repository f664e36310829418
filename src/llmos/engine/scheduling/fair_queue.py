"""The waiting sequences, and the order in which they run. Knows priorities, callers and token counts; knows no blocks.

The highest priority goes first. A priority that waits while others are served rises by one every STEPS_PER_PRIORITY
steps, until one of its sequences is taken; so none waits for ever, and an early high-priority request is not overtaken
by a whole crowd of old low-priority ones. Among equal priorities, the caller that was served least goes first: a
virtual token counter (Sheng et al. 2024, Fairness in Serving Large Language Models, algorithm 2). Requests of one
caller go in order of arrival.

A new caller starts at the virtual time, which advances with every token that anybody is served (WF2Q+: Bennett and
Zhang 1997, Hierarchical Packet Fair Queueing Algorithms). So new callers can't delay waiting ones for ever.
"""

import heapq
from bisect import insort
from collections.abc import Iterator
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

STEPS_PER_PRIORITY = 64
"""Steps after which a waiting priority has risen to the next higher one."""

MAX_PASSED_OVER = 32
"""Sequences that can't run now, and that others may be taken ahead of, in one step."""


class Queued(Protocol):
    """The interface of a queued item: a Sequence, or a text to embed."""

    caller: str
    priority: int
    arrival: int
    """Among those of one caller, the lower goes first."""
    num_charged: int
    """Tokens that the caller's account was charged for."""


Q = TypeVar("Q", bound=Queued)

by_arrival = attrgetter("arrival")
"""Sort key: first come, first served."""


class _Account:
    """One caller's use of the engine."""

    __slots__ = ("caller", "is_idle", "num_live", "num_waiting", "service")

    def __init__(self, caller: str) -> None:
        self.caller = caller
        self.service = 0.0
        """Tokens computed for the caller, plus the virtual time that passed while it asked for nothing."""
        self.num_live = 0
        self.num_waiting = 0
        self.is_idle = False
        """The account is in the heap of accounts that may be dropped."""


class _Level(Generic[Q]):
    """All that waits with one priority."""

    __slots__ = ("queues", "since")

    def __init__(self, step: int) -> None:
        self.since = step
        """The step at which the last one was taken, or the first one came."""
        self.queues: dict[str, list[Q]] = {}
        """Caller -> its sequences, oldest first."""


class FairQueue(Generic[Q]):
    """The waiting sequences, and an account for each caller that has any in the engine.

    add() -> take() [-> requeue() -> take()] -> finish(), or remove() -> finish() for one that is aborted while waiting.
    """

    def __init__(self) -> None:
        self.step = 0
        """Set by the owner, once a step."""
        self._levels: dict[int, _Level[Q]] = {}
        self._accounts: dict[str, _Account] = {}
        self._idle: list[tuple[float, str]] = []
        """Heap of (service, caller) of accounts that had nothing in the engine when they were put here."""
        self._time = 0.0
        """Virtual time: the service of a caller that always asks, and always gets its share."""
        self._num_live_callers = 0
        self._num_waiting = 0

    def __len__(self) -> int:
        return self._num_waiting

    def __iter__(self) -> Iterator[Q]:
        for level in self._levels.values():
            for queue in level.queues.values():
                yield from queue

    def num_running(self, caller: str) -> int:
        """Return how many of the caller's sequences are in the engine and don't wait."""
        account = self._accounts[caller]
        return account.num_live - account.num_waiting

    def add(self, sequence: Q) -> None:
        """Queue a new sequence."""
        account = self._accounts.get(sequence.caller)
        if account is None:
            account = self._accounts[sequence.caller] = _Account(sequence.caller)
        if not account.num_waiting:
            # A caller earns no credit in the time in which it asks for nothing.
            account.service = max(account.service, self._time)
        self._num_live_callers += not account.num_live
        account.num_live += 1
        self.requeue(sequence)

    def requeue(self, sequence: Q) -> None:
        """Queue a sequence that was taken, in order of its arrival."""
        level = self._levels.get(sequence.priority)
        if level is None:
            level = self._levels[sequence.priority] = _Level(self.step)
        insort(level.queues.setdefault(sequence.caller, []), sequence, key=by_arrival)
        self._accounts[sequence.caller].num_waiting += 1
        self._num_waiting += 1

    def take(self, sequence: Q) -> None:
        """Dequeue a sequence that runs from now on."""
        self._levels[sequence.priority].since = self.step
        self.remove(sequence)

    def remove(self, sequence: Q) -> None:
        """Dequeue a sequence that won't run."""
        level = self._levels[sequence.priority]
        queue = level.queues[sequence.caller]
        queue.remove(sequence)
        if not queue:
            del level.queues[sequence.caller]
            if not level.queues:
                del self._levels[sequence.priority]
        self._accounts[sequence.caller].num_waiting -= 1
        self._num_waiting -= 1

    def finish(self, sequence: Q) -> None:
        """Close the books on a sequence that doesn't wait and has left the engine."""
        account = self._accounts[sequence.caller]
        account.num_live -= 1
        if account.num_live:
            return
        self._num_live_callers -= 1
        if not account.is_idle:
            account.is_idle = True
            heapq.heappush(self._idle, (account.service, account.caller))
        self._drop_idle_accounts()

    def charge(self, sequence: Q, num_tokens: int) -> None:
        """Charge the caller for the sequence's first `num_tokens`.

        No token is charged twice: the caller doesn't pay for what is computed again after a preemption.
        """
        count = num_tokens - sequence.num_charged
        if count <= 0:
            return
        account = self._accounts[sequence.caller]
        account.service += count
        sequence.num_charged = num_tokens
        if self._num_waiting:
            self._time += count / self._num_live_callers
        else:
            # Service that nobody waited for was taken from nobody, so it must not count against the caller later.
            self._time = max(self._time, account.service)

    def goes_before(self, sequence: Q, other: Q) -> bool:
        """Return whether `sequence`, which waits, would run before `other` if that one waited, too."""
        return self._rank(sequence.priority, sequence) < self._rank(other.priority, other)

    def in_order(self) -> Iterator[Q]:
        """Yield the waiting sequences, the next to run first. Only the yielded one may be taken meanwhile."""
        heap = []
        # A new caller doesn't go before all that wait already.
        waiting = (self._accounts[caller] for level in self._levels.values() for caller in level.queues)
        least = min((account.service for account in waiting), default=0.0)
        self._time = max(self._time, least)
        for priority, level in self._levels.items():
            for caller, queue in level.queues.items():
                heap.append((self._rank(priority, queue[0]), priority, caller, 0))
        heapq.heapify(heap)
        num_passed_over = 0
        while heap and num_passed_over < MAX_PASSED_OVER:
            rank, priority, caller, index = heapq.heappop(heap)
            if priority not in self._levels or index >= len(queue := self._levels[priority].queues.get(caller, [])):
                continue
            sequence = queue[index]
            # Taking a sequence makes the ranks of its caller and priority worse, never better.
            if self._rank(priority, sequence) == rank:
                yield sequence
                if index < len(queue) and queue[index] is sequence:
                    num_passed_over += 1
                    index += 1
            if index < len(queue):
                heapq.heappush(heap, (self._rank(priority, queue[index]), priority, caller, index))

    def check_invariants(self) -> None:
        """Assert that the counts agree with the queues."""
        waiting = list(self)
        assert len(waiting) == len(self) == sum(account.num_waiting for account in self._accounts.values())
        for priority, level in self._levels.items():
            assert level.queues
            for caller, queue in level.queues.items():
                assert queue == sorted(queue, key=by_arrival) != []
                assert all((each.priority, each.caller) == (priority, caller) for each in queue)
        for account in self._accounts.values():
            assert 0 <= account.num_waiting <= account.num_live
            assert account.num_live or account.is_idle, "an account is never dropped"
        assert sorted(caller for _, caller in self._idle) == sorted(
            account.caller for account in self._accounts.values() if account.is_idle
        )
        assert self._num_live_callers == sum(account.num_live > 0 for account in self._accounts.values())

    def _rank(self, priority: int, sequence: Q) -> tuple[int, float, int]:
        level = self._levels.get(priority)
        risen = priority + (self.step - level.since) // STEPS_PER_PRIORITY if level else priority
        return -risen, self._accounts[sequence.caller].service, sequence.arrival

    def _drop_idle_accounts(self) -> None:
        """Drop the accounts that a returning caller would be no better or worse off without."""
        if not self._num_live_callers:
            self._accounts.clear()
            self._idle.clear()
            self._time = 0.0
            return
        while self._idle and self._idle[0][0] <= self._time:
            _, caller = heapq.heappop(self._idle)
            account = self._accounts[caller]
            account.is_idle = not account.num_live and account.service > self._time
            if account.is_idle:
                heapq.heappush(self._idle, (account.service, caller))
            elif not account.num_live:
                del self._accounts[caller]
