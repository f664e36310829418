"""Closes asynchronous generators, and leaves contexts, with the call that uses them."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

S = TypeVar("S", bound=AsyncIterator[Any])
T = TypeVar("T")


class Contexts:
    """Contexts that a call enters one after another, and leaves in reverse order. Cheaper than an AsyncExitStack.

    Example:
        async with Contexts() as contexts:
            call = await contexts.enter(hold(call, record))
    """

    __slots__ = ("_entered",)

    def __init__(self) -> None:
        self._entered: list[AbstractAsyncContextManager[Any]] = []

    async def __aenter__(self) -> "Contexts":
        return self

    async def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enter a context, and return what it gives."""
        value = await context.__aenter__()
        self._entered.append(context)
        return value

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Leave all contexts, each with the error that the ones after it raised. Return whether one took the error."""
        given, is_new = error, False
        while self._entered:
            context = self._entered.pop()
            try:
                if await context.__aexit__(kind, error, traceback):
                    kind = error = traceback = None
            except BaseException as raised:
                is_new = is_new or raised is not error
                kind, error, traceback = type(raised), raised, raised.__traceback__
        if error is not None and is_new:
            raise error
        return given is not None and error is None


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

    async def __aenter__(self) -> "Streams":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

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
