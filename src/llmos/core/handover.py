"""Handover: from the futures of other threads to the tasks of an event loop.

asyncio.wrap_future() wakes the loop for each future. What a thread writes in groups is done for many tasks at once, and
they are woken together here.
"""

import asyncio
from collections import deque
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class Handover:
    """Belongs to the thread of the event loops that use it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._is_scheduled = False

    async def result(self, future: "Future[T]", seconds: float | None = None) -> T:
        """Wait for the future, so many seconds at most. Raises what it raises, and TimeoutError.

        A future that hasn't begun is cancelled with the task.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._done, self._is_scheduled = loop, deque(), False
        waiting: asyncio.Future[T] = loop.create_future()
        done = self._done
        future.add_done_callback(lambda each: self._add(loop, done, waiting, each))
        timer = None if seconds is None else loop.call_later(seconds, _expire, waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            future.cancel()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _add(
        self,
        loop: asyncio.AbstractEventLoop,
        done: "deque[tuple[asyncio.Future[T], Future[T]]]",
        waiting: "asyncio.Future[T]",
        future: "Future[T]",
    ) -> None:
        """Called in the thread that has ended the future."""
        done.append((waiting, future))
        # deliver() unsets this before it looks, so what is added later is found, or scheduled again.
        if not self._is_scheduled or done is not self._done:
            self._is_scheduled = True
            with suppress(RuntimeError):  # The loop is closed, and nobody waits.
                loop.call_soon_threadsafe(self._deliver, done)

    def _deliver(self, done: "deque[tuple[asyncio.Future[Any], Future[Any]]]") -> None:
        self._is_scheduled = False
        while done:
            waiting, future = done.popleft()
            if waiting.done():
                continue
            try:
                waiting.set_result(future.result())
            except CancelledError:
                waiting.cancel()
            except BaseException as error:
                waiting.set_exception(error)


def _expire(waiting: "asyncio.Future[Any]") -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError())
