"""EventQueue: the events of one request, between the connection to a replica and the request's reader.

    replica ── put(), a step after another ──▶ waiting ── get(), what waits joined ──▶ reader

A reader that keeps up gets each delta alone. One that is slower than the replica gets those of several steps as one,
which costs it as much as a single one, so it catches up.
"""

import asyncio
from collections import deque

from llmos.deployments.joining import can_join
from llmos.engine.messages import Delta, Event
from llmos.engine.text.joining import join


class EventQueue:
    """Has one reader. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._waiting: deque[Event | None] = deque()
        self._reader: asyncio.Future[None] | None = None

    @property
    def is_waiting(self) -> bool:
        """Return whether get() returns at once."""
        return bool(self._waiting)

    def put(self, event: Event | None) -> None:
        """Add an event. None: the connection has ended."""
        self._waiting.append(event)
        if (reader := self._reader) is not None:
            self._reader = None
            if not reader.done():
                reader.set_result(None)

    async def get(self) -> Event | None:
        """Return the next event, waiting for it; deltas that wait together as one."""
        while not self._waiting:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        event = self._waiting.popleft()
        if isinstance(event, Delta) and self._waiting:
            return self._joined(event)
        return event

    def _joined(self, first: Delta) -> Delta:
        """Return the delta with those behind it that can be joined to it."""
        joined, last, waiting = [first], first, self._waiting
        while waiting and type(following := waiting[0]) is Delta and can_join(last, following):
            joined.append(last := following)
            waiting.popleft()
        return join(joined)
