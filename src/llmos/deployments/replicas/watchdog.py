"""Watchdog: tells a stuck replica from a slow one. Knows neither processes nor sockets.

    start()     requests are open: on every tick, the replica must have answered the last ping
    pause()     no request is open: no pings are sent, so that an idle replica uses no CPU

A replica that computes may take as long as a long step does. One that computes nothing at all (stopped, or in a
deadlock) gets less time.

Silence is counted in ticks of this process and not by a clock: a server that was itself stopped, swapped out or
suspended has read no answers either, and must not blame the replica for that time.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaTimeouts:
    """Limits for the time that a replica takes to answer a ping, and to load."""

    silence_seconds: float = 10.0
    """The shortest timeout while it computes, and the timeout while it computes nothing."""
    first_silence_seconds: float = 120.0
    """The timeout until the length of its steps is known."""
    num_steps: float = 20.0
    """The timeout is this many times the longest step that is expected."""
    load_seconds: float = 600.0
    """From the start of its process until the model is loaded."""

    @property
    def tick_seconds(self) -> float:
        return self.silence_seconds / 10

    def for_steps_of(self, step_seconds: float | None) -> float:
        """Return the timeout, in seconds, of a replica with steps of this length. None: not known yet."""
        if step_seconds is None:
            return max(self.silence_seconds, self.first_silence_seconds)
        return max(self.silence_seconds, self.num_steps * step_seconds)


class Watchdog:
    def __init__(
        self,
        timeouts: ReplicaTimeouts,
        ping: Callable[[], None],
        on_stuck: Callable[[], None],
        has_computed: Callable[[], bool],
    ) -> None:
        """`ping`: sends the replica a ping. `on_stuck`: called once, when the replica has used up its timeout.

        `has_computed`: returns True if the replica has computed since the last call, or waits only for a CPU."""
        self.timeouts = timeouts
        self._ping = ping
        self._on_stuck = on_stuck
        self._has_computed = has_computed
        self._step_seconds: float | None = None
        self._awaits_pong = False
        """Survives a pause: requests that come and go don't restart the timeout."""
        self._num_silent_ticks = 0
        self._num_idle_ticks = 0
        """The last of the silent ticks, in which nothing was computed either."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        return self._timer is not None

    @property
    def silent_seconds(self) -> float:
        """Seconds for which the replica has owed an answer."""
        return self._num_silent_ticks * self.timeouts.tick_seconds

    @property
    def limit_seconds(self) -> float:
        return self.timeouts.for_steps_of(self._step_seconds)

    @property
    def is_overdue(self) -> bool:
        """True when half of the timeout is used up."""
        return self._used_share >= 0.5

    @property
    def _used_share(self) -> float:
        idle_seconds = self._num_idle_ticks * self.timeouts.tick_seconds
        return max(self.silent_seconds / self.limit_seconds, idle_seconds / self.timeouts.silence_seconds)

    def start(self) -> None:
        if not self.is_running:
            self._timer = asyncio.get_running_loop().call_later(self.timeouts.tick_seconds, self.tick)

    def pause(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_progress(self) -> None:
        """Restart the timeout: the replica works through the commands that lie before our ping."""
        self._num_silent_ticks = self._num_idle_ticks = 0

    def on_pong(self, step_seconds: float | None) -> None:
        """Restart the timeout. `step_seconds`: the longest step that the replica expects."""
        self._step_seconds = step_seconds
        self._awaits_pong = False
        self.on_progress()

    def tick(self) -> None:
        """Send a ping, or count the silence since the last one. Called by the timer."""
        self.pause()
        if not self._awaits_pong:
            self._awaits_pong = True
            self._ping()
        else:
            self._num_silent_ticks += 1
            self._num_idle_ticks = 0 if self._has_computed() else self._num_idle_ticks + 1
            if self._used_share >= 1:
                self._on_stuck()
                return
        self.start()
