"""Tells a stuck replica from a slow one. Knows neither processes nor sockets; see replica.py.

    watch()     requests are open: every tick, the replica must have answered what it was asked
    rest()      none is: nothing is asked, so that an idle replica costs no CPU

Who computes has as long as a step may well take; who computes nothing at all, stopped or in a deadlock, has less.

Silence is counted in ticks of this process, not read off a clock: a server that was itself held up (stopped, swapped
out, asleep) has not listened either, and blames nobody for that time.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaTimeouts:
    """How long a replica may owe an answer."""

    silence_seconds: float = 10.0
    """At least, whatever its steps take; and at most, while it computes nothing."""
    first_silence_seconds: float = 120.0
    """Until it is known how long its steps take."""
    num_steps: float = 20.0
    """So many times the longest step that is to be expected."""
    load_seconds: float = 600.0
    """From the start of its process until the model is loaded."""

    @property
    def tick_seconds(self) -> float:
        return self.silence_seconds / 10

    def for_steps_of(self, step_seconds: float | None) -> float:
        if step_seconds is None:
            return max(self.silence_seconds, self.first_silence_seconds)
        return max(self.silence_seconds, self.num_steps * step_seconds)


class Watchdog:
    def __init__(
        self,
        timeouts: ReplicaTimeouts,
        ask: Callable[[], None],
        give_up: Callable[[], None],
        is_computing: Callable[[], bool],
    ) -> None:
        """`ask`: sends what the replica has to answer. `give_up`: the replica is stuck; called once.

        `is_computing`: whether the replica has computed since the last call, or would if it were given a CPU."""
        self._timeouts = timeouts
        self._ask = ask
        self._give_up = give_up
        self._is_computing = is_computing
        self._step_seconds: float | None = None
        self._is_owed = False
        """The last question has no answer yet. Kept while resting: callers that come and go don't start it anew."""
        self._num_silent_ticks = 0
        self._num_idle_ticks = 0
        """Of the silent ones, the last in which nothing was computed either."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def silent_seconds(self) -> float:
        """How long the replica has owed a sign of life."""
        return self._num_silent_ticks * self._timeouts.tick_seconds

    @property
    def limit_seconds(self) -> float:
        return self._timeouts.for_steps_of(self._step_seconds)

    @property
    def is_overdue(self) -> bool:
        """Half of the timeout is used up."""
        return self._used_share >= 0.5

    @property
    def _used_share(self) -> float:
        idle_seconds = self._num_idle_ticks * self._timeouts.tick_seconds
        return max(self.silent_seconds / self.limit_seconds, idle_seconds / self._timeouts.silence_seconds)

    def watch(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._timeouts.tick_seconds, self._tick)

    def pause(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_progress(self) -> None:
        """The replica has got on with its commands: whatever lies before our question is being dealt with."""
        self._num_silent_ticks = self._num_idle_ticks = 0

    def on_answer(self, step_seconds: float | None) -> None:
        self._step_seconds = step_seconds
        self._is_owed = False
        self.on_progress()

    def _tick(self) -> None:
        self._timer = None
        if not self._is_owed:
            self._is_owed = True
            self._ask()
        else:
            self._num_silent_ticks += 1
            self._num_idle_ticks = 0 if self._is_computing() else self._num_idle_ticks + 1
            if self._used_share >= 1:
                self._give_up()
                return
        self.watch()
