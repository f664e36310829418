"""Closes asynchronous generators with the call that reads them."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

S = TypeVar("S", bound=AsyncIterator[Any])


class Streams:
    """The streams that a call reads. They are closed together, the last one first. Cheaper than an AsyncExitStack.

    Example:
        streams = Streams()
        try:
            deltas = streams.add(read(events))
        finally:
            await streams.close()
    """

    __slots__ = ("_held", "_streams")

    def __init__(self) -> None:
        self._streams: list[AsyncIterator[Any]] = []
        self._held: list[AbstractContextManager[None]] = []

    def hold(self, context: AbstractContextManager[None]) -> None:
        """Enter a context, which is left when the streams are closed. How they ended doesn't matter to it."""
        context.__enter__()
        self._held.append(context)

    def add(self, stream: S) -> S:
        """Return the stream, which close() closes, if it can be."""
        self._streams.append(stream)
        return stream

    async def close(self) -> None:
        """Close all that haven't ended. Raises what one of them raises when the others are closed."""
        failure: BaseException | None = None
        while self._streams:
            stream = self._streams.pop()
            # A generator that has ended has no frame. There is nothing to wait for then.
            if getattr(stream, "ag_frame", stream) is None or (close := getattr(stream, "aclose", None)) is None:
                continue
            try:
                await close()
            except BaseException as error:
                failure = error
        while self._held:
            self._held.pop().__exit__(None, None, None)
        if failure is not None:
            raise failure
