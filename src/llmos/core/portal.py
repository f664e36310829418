"""Portal: an event loop in a thread of its own, for blocking calls of asynchronous code."""

import asyncio
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_END_SECONDS = 10.0


class Portal:
    """One loop for a process, started with the first blocking call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._left: list[asyncio.AbstractEventLoop | None] = []
        """The event loops of parent processes, which are kept because a collected loop would warn about its tasks."""

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end. Raises RuntimeError where that would wait for itself."""
        try:
            loop = self._started()
        except RuntimeError:
            work.close()
            raise
        has_ended = threading.Event()

        async def run() -> T:
            try:
                return await work
            finally:
                has_ended.set()

        future: Future[T] | None = None
        try:
            future = asyncio.run_coroutine_threadsafe(run(), loop)
            return future.result()
        except BaseException:
            if future is not None and future.cancel():  # Ctrl-C: the work is given time to say that it ends.
                has_ended.wait(_END_SECONDS)
            raise

    async def awaited(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end from any event loop. Cancelling this cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._running()))

    def iterate(self, open: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
        """Yield what an asynchronous iterator yields. One that isn't read to its end is closed."""
        return _Iteration(self._started(), open)

    def forget(self) -> None:
        """Leave the loop: a forked process has none of its parent's threads. The parent's tasks stay as they are."""
        self._left.append(self._loop)
        self._lock, self._loop = threading.Lock(), None

    def _started(self) -> asyncio.AbstractEventLoop:
        loop = self._running()
        if runs_here(loop):
            raise RuntimeError("A blocking call within a run waits for itself: await arun() or the like.")
        return loop

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, daemon=True, name="llmos-portal").start()
            return self._loop


_END = object()


class _Iteration(Iterator[T], Generic[T]):
    """An asynchronous iterator, read in another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, open: Callable[[], AsyncIterator[T]]) -> None:
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._is_over = False
        self._future: Future[None] = asyncio.run_coroutine_threadsafe(self._read(open), loop)

    def __next__(self) -> T:
        if self._is_over:
            raise StopIteration
        item = self._items.get()
        if item is _END:
            self._is_over = True
            self._future.result()
            raise StopIteration
        return item  # type: ignore[no-any-return]

    def close(self) -> None:
        """Stop what is read, and wait until it has stopped."""
        if not self._is_over:
            self._is_over = True
            self._future.cancel()
            while self._items.get() is not _END:
                pass

    def __del__(self) -> None:
        if not self._is_over:
            self._future.cancel()

    async def _read(self, open: Callable[[], AsyncIterator[T]]) -> None:
        try:
            async for item in open():
                self._items.put(item)
        finally:
            self._items.put(_END)


def runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether this thread runs the loop."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


portal = Portal()
os.register_at_fork(after_in_child=portal.forget)
