"""Shadow traffic: a call that was answered is run once more on another target, and the two are compared.

Begun when the caller has its answer, in the background of all others, a few at a time; what would pile up is left out.
Whatever becomes of it, the caller never knows.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from itertools import takewhile
from typing import Any

from llmos.deployments.rollouts.evidence import Comparison
from llmos.engine.messages import Delta

MAX_RUNNING = 4

MAX_SECONDS = 600
"""A shadow that takes longer is given up: nobody waits for it."""


class Transcript:
    """What an answer said, noted as it goes by."""

    def __init__(self, num_choices: int) -> None:
        self._pieces: list[list[str]] = [[] for _ in range(num_choices)]

    async def noting(self, deltas: AsyncIterator[Delta]) -> AsyncGenerator[Delta, None]:
        async for delta in deltas:
            pieces = self._pieces[delta.index]
            if delta.text:
                pieces.append(delta.text)
            # The id of a call is drawn; what is called, and with what, is said.
            pieces += [call.name + call.arguments for call in delta.tool_calls]
            yield delta

    def texts(self) -> list[str]:
        """Return what each choice said: its text, and the calls that it made."""
        return ["".join(pieces) for pieces in self._pieces]


class Shadows:
    """Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def has_room(self) -> bool:
        return len(self._tasks) < MAX_RUNNING

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Return when those that run now have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Give up those that run."""
        for task in self._tasks:
            task.cancel()
        await self.settled()


def compared(
    seen: Transcript, shadow: Transcript, *, is_greedy: bool, seconds: float, shadow_seconds: float
) -> Comparison:
    """Return how the shadow's answer compares. Texts that were drawn by chance say nothing of each other."""
    if not is_greedy:
        return Comparison(seconds=seconds, shadow_seconds=shadow_seconds)
    pairs = list(zip(seen.texts(), shadow.texts(), strict=True))
    num_common = sum(_num_common(first, second) for first, second in pairs)
    num_longest = sum(max(map(len, pair)) for pair in pairs)
    return Comparison(
        agrees=all(first == second for first, second in pairs),
        common_share=num_common / num_longest if num_longest else 1.0,
        seconds=seconds,
        shadow_seconds=shadow_seconds,
    )


def _num_common(first: str, second: str) -> int:
    """Return how many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
