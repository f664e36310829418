"""Rounds: the calls to the model that one response takes, one after another."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.call import Call
from llmos.gateway.calls.pipeline import Pipeline


class Rounds:
    """Runs several calls as if they were one. Each is released before the next one begins, so that a response holds the
    room of one call, however many searches it takes."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._is_streamed = True
        self._running = AsyncExitStack()

    @asynccontextmanager
    async def generate(self, call: Call, *, is_streamed: bool = True) -> AsyncIterator[Answer]:
        """Run the first call, as Pipeline.generate() does. Leaving the context stops whichever call runs then."""
        self._is_streamed = is_streamed
        try:
            yield await self.next(call)
        except BaseException:
            await self._running.__aexit__(*sys.exc_info())
            raise
        await self._running.aclose()

    async def next(self, call: Call) -> Answer:
        """Release the call before, and run another one. Raises what Pipeline.generate() raises."""
        await self._running.aclose()
        return await self._running.enter_async_context(self._pipeline.generate(call, is_streamed=self._is_streamed))
