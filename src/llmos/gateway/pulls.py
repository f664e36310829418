"""Pulls that callers follow: one for each model however many ask for it, and none that nobody follows any more."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass

from llmos.models.registry import Registry


@dataclass(frozen=True, slots=True)
class Step:
    """How far the work on one thing is."""

    label: str
    num_done: int
    num_total: int | None
    """None: nobody knows."""


class Pulls:
    """Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._running: dict[str, _Pull] = {}

    @property
    def num_running(self) -> int:
        """Those that somebody follows."""
        return len(self._running)

    async def follow(self, registry: Registry, name: str) -> AsyncGenerator[Step, None]:
        """Pull a model of the catalog, or join whoever does, and yield what gets further until it is here.

        Raises what the pull raises. When the last follower goes it ends, and what has arrived is kept for the next.
        """
        pull = self._running.get(name)
        if pull is None:
            pull = self._running[name] = _Pull(registry, name)
        pull.num_followers += 1
        try:
            async for step in pull.steps():
                yield step
        finally:
            pull.num_followers -= 1
            if not pull.num_followers:
                pull.abandon()
            if (not pull.num_followers or pull.has_ended) and self._running.get(name) is pull:
                del self._running[name]  # who comes next begins anew


class _Abandoned(Exception):
    """Nobody waits for it: thrown at the work where it next tells how far it is."""


class _Pull:
    def __init__(self, registry: Registry, name: str) -> None:
        self.num_followers = 0
        self.has_ended = False
        self._error: BaseException | None = None
        self._latest: dict[str, Step] = {}
        self._news = asyncio.Event()
        """Set at the next change, and then replaced."""
        self._is_abandoned = threading.Event()
        self._loop = asyncio.get_running_loop()
        # A thread of its own: downloads would soon hold all of the loop's. None that the process's end waits for.
        threading.Thread(target=self._work, args=[registry, name], name=f"pull {name}", daemon=True).start()

    def abandon(self) -> None:
        self._is_abandoned.set()

    async def steps(self) -> AsyncGenerator[Step, None]:
        """Yield the steps so far, then what changes; of a thing that moves faster than the reader, only the latest."""
        told: dict[str, Step] = {}
        while True:
            news, has_ended = self._news, self.has_ended
            for label, step in list(self._latest.items()):
                if told.get(label) != step:
                    told[label] = step
                    yield step
            if has_ended:
                if self._error is not None:
                    raise self._error
                return
            await news.wait()

    def _work(self, registry: Registry, name: str) -> None:
        error: BaseException | None = None
        try:
            registry.pull(name, self._tell, lambda sentence: self._tell(sentence, 0, None))
        except _Abandoned:
            return
        except BaseException as caught:
            error = caught
        with suppress(RuntimeError):  # The loop is closed: nobody is there to be told.
            self._loop.call_soon_threadsafe(self._end, error)

    def _tell(self, label: str, num_done: int, num_total: int | None) -> None:
        if self._is_abandoned.is_set():
            raise _Abandoned
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._note, Step(label, num_done, num_total))

    def _note(self, step: Step) -> None:
        self._latest[step.label] = step
        self._announce()

    def _end(self, error: BaseException | None) -> None:
        self.has_ended, self._error = True, error
        self._announce()

    def _announce(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
