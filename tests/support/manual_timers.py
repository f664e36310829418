"""ManualTimers: the timers of a server's slow clients, which run out when a test says so."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

PATIENCE_SECONDS = 30


class ManualTimers:
    """Takes the place of the event loop in a SlowClientTimer. The server runs in another thread than the test.

    Example:
        peer.send(b"GET / HTTP/1.1")
        timers.run_out(limits.head_seconds)
    """

    def __init__(self) -> None:
        self._pending: list[_Timer] = []
        self._changed = threading.Condition()

    def call_later(self, seconds: float, callback: Callable[..., None], *arguments: Any) -> "_Timer":
        timer = _Timer(self, seconds, partial(callback, *arguments))
        with self._changed:
            self._pending.append(timer)
            self._changed.notify_all()
        return timer

    def remove(self, timer: "_Timer") -> bool:
        """Return whether the timer was running."""
        with self._changed:
            is_running = timer in self._pending
            if is_running:
                self._pending.remove(timer)
            return is_running

    @property
    def running(self) -> list[float]:
        """The seconds of each timer that runs."""
        with self._changed:
            return [timer.seconds for timer in self._pending]

    def run_out(self, seconds: float) -> None:
        """Wait for a timer of so many seconds to run, let the server read what was sent to it, and end the timer."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._find(seconds), PATIENCE_SECONDS), "no such timer runs"
            timer = self._find(seconds)
        assert timer is not None
        has_ended = threading.Event()

        def end() -> None:
            if self.remove(timer):
                timer.callback()
            has_ended.set()

        # In the first round the loop notices what it can read, and reads it before the second.
        timer.loop.call_soon_threadsafe(timer.loop.call_soon, end)
        assert has_ended.wait(PATIENCE_SECONDS)

    def _find(self, seconds: float) -> "_Timer | None":
        return next((timer for timer in self._pending if timer.seconds == seconds), None)


class _Timer:
    """The result of call_later(): a timer that can be cancelled."""

    def __init__(self, timers: ManualTimers, seconds: float, callback: Callable[[], None]) -> None:
        self._timers, self.seconds, self.callback = timers, seconds, callback
        self.loop = asyncio.get_running_loop()

    def cancel(self) -> None:
        self._timers.remove(self)
