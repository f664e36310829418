"""GroupWriter: writes what the tasks of an event loop hand over; what arrives during a write is written together."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class GroupWriter(Generic[T]):
    """Writes items in groups, one group after another: where a write costs much, and an item in it little.

    A lock instead would hand itself from one waiter to the next, and nearly every item would have a write of its own.
    Belongs to one event loop.

    Example:
        writer = GroupWriter(journal.write)
        await writer.write(entry)
    """

    def __init__(self, write: Callable[[list[T]], object]) -> None:
        """`write`: writes a group. Called in a thread, never twice at once."""
        self._write = write
        self._pending: list[tuple[T, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def write(self, item: T) -> None:
        """Return when the item is written. Raises what the write of its group raised.

        If this is cancelled before the write begins, the item isn't written.
        """
        written = asyncio.get_running_loop().create_future()
        self._pending.append((item, written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_pending())
        await written

    async def _write_pending(self) -> None:
        while self._pending:
            # A task that was cancelled meanwhile may have ended what its item was for.
            group = [(item, written) for item, written in self._pending if not written.done()]
            self._pending = []
            if not group:
                continue
            try:
                await asyncio.to_thread(self._write, [item for item, _ in group])
            except Exception as error:
                for _, written in group:
                    if not written.done():
                        written.set_exception(error)
            else:
                for _, written in group:
                    if not written.done():
                        written.set_result(None)
            await asyncio.sleep(0)  # Those whose items were written go on, and the next write takes what they bring.
        self._writing = None
