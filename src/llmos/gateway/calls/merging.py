"""Merges several streams into one, each item with the index of the stream that it came from."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TypeVar

T = TypeVar("T")


async def merge(streams: Sequence[AsyncIterator[T]]) -> AsyncGenerator[tuple[int, T], None]:
    """Yield what the streams yield, as it comes, until all have ended. Raises what any of them raises, at once.

    Closing it stops reading, but does not close the streams.
    """
    if len(streams) == 1:  # The usual case needs neither tasks nor a queue.
        async for item in streams[0]:
            yield 0, item
        return
    queue: asyncio.Queue[tuple[int, T] | BaseException | None] = asyncio.Queue()

    async def pump(index: int, stream: AsyncIterator[T]) -> None:
        try:
            async for item in stream:
                queue.put_nowait((index, item))
            queue.put_nowait(None)
        except BaseException as error:
            queue.put_nowait(error)
            if isinstance(error, asyncio.CancelledError):
                raise

    tasks = [asyncio.create_task(pump(index, stream)) for index, stream in enumerate(streams)]
    try:
        num_open = len(tasks)
        while num_open:
            received = await queue.get()
            if received is None:
                num_open -= 1
            elif isinstance(received, BaseException):
                raise received
            else:
                yield received
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
