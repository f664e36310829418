"""Shadows: an answered call is repeated on another target of its route, and the two answers are compared.

A shadow begins when the caller has its answer, as a background call, at most MAX_RUNNING at a time; what exceeds that
is skipped. It runs the part of the pipeline that belongs to one target, and the caller never notices it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from dataclasses import replace
from itertools import takewhile
from typing import Any

from llmos.core.errors import LLMOSError
from llmos.deployments.rollouts.evidence import Comparison, Evidence
from llmos.engine.messages import Delta
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.attempt import AttemptPolicy, Attempts
from llmos.gateway.calls.record import Record, Recorder
from llmos.gateway.calls.resolve import Resolution

_log = logging.getLogger(__name__)

MAX_RUNNING = 4

MAX_SECONDS = 600
"""A shadow that takes longer is cancelled."""


class Transcript:
    """The text of an answer, collected as it is streamed."""

    def __init__(self, num_choices: int) -> None:
        self._pieces: list[list[str]] = [[] for _ in range(num_choices)]

    async def observe(self, deltas: AsyncIterator[Delta]) -> AsyncGenerator[Delta, None]:
        async for delta in deltas:
            pieces = self._pieces[delta.index]
            if delta.text:
                pieces.append(delta.text)
            # The id of a tool call is random; its name and arguments are what the model wrote.
            pieces += [call.name + call.arguments for call in delta.tool_calls]
            yield delta

    def texts(self) -> list[str]:
        """Return the text of each choice, with the tool calls that it made."""
        return ["".join(pieces) for pieces in self._pieces]


class ShadowedAnswer:
    """An answer whose call a shadow repeats."""

    def __init__(self, record: Record, resolution: Resolution, answer: Answer, target: str) -> None:
        """`target`: the one that the call is repeated on."""
        assert resolution.route is not None, "only routes have shadows"
        self.record, self.resolution, self.answer, self.target = record, resolution, answer, target
        self.route_name = resolution.route.name
        self.transcript = Transcript(answer.call.num_choices)

    def observe(self, deltas: AsyncIterator[Delta]) -> AsyncGenerator[Delta, None]:
        return self.transcript.observe(deltas)


class Shadows:
    """Belongs to the event loop's thread."""

    def __init__(self, attempts: Attempts, recorder: Recorder, evidence: Evidence) -> None:
        self._attempts, self._recorder, self._evidence = attempts, recorder, evidence
        self._tasks: set[asyncio.Task[None]] = set()

    def choose(self, resolution: Resolution, record: Record, answer: Answer, target: str) -> ShadowedAnswer | None:
        """Return the observer of the answer that `target` gives; None if no shadow repeats the call.

        The scores of a prompt aren't compared, so a call that asks for them has no shadow.
        """
        if resolution.route is None or record.caller.is_background or not self.has_room:
            return None
        if answer.call.prompt_logprobs is not None:
            return None
        shadow = resolution.route.shadow_of(record.id)
        return None if shadow in (None, target) else ShadowedAnswer(record, resolution, answer, str(shadow))

    def begin(self, shadowed: ShadowedAnswer) -> None:
        """Repeat the call of an answer that has ended, in the background, if there is room."""
        if self.has_room:
            self._start(self._run(shadowed))

    async def finish(self) -> None:
        """Return when the shadows that run now have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Cancel the shadows that run."""
        for task in self._tasks:
            task.cancel()
        await self.finish()

    @property
    def has_room(self) -> bool:
        return len(self._tasks) < MAX_RUNNING

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, shadowed: ShadowedAnswer) -> None:
        seconds = shadowed.answer.timings().total
        try:
            comparison = await self._compare(shadowed, seconds)
        except TimeoutError:
            comparison = Comparison(seconds=seconds, error="timeout")
        except LLMOSError as error:
            comparison = Comparison(seconds=seconds, error=error.code)
        except Exception:
            _log.exception("The shadow %s of the route %s failed", shadowed.target, shadowed.route_name)
            comparison = Comparison(seconds=seconds, error="internal_error")
        self._evidence.record_comparison(shadowed.route_name, shadowed.target, comparison)

    async def _compare(self, shadowed: ShadowedAnswer, seconds: float) -> Comparison:
        answer, resolution = shadowed.answer, shadowed.resolution
        call = replace(answer.call, caller=answer.call.caller.in_background())
        transcript, began = Transcript(call.num_choices), time.perf_counter()
        with self._recorder.open(call, "generate", shadow_of=shadowed.record.id) as record:
            record.route = shadowed.route_name
            attempt = self._attempts.generate(record, resolution, shadowed.target, call, AttemptPolicy())
            async with asyncio.timeout(MAX_SECONDS), attempt as repeated:
                async for _ in transcript.observe(repeated.deltas):
                    pass
        samplings = (call.sampling.with_defaults(each.served.sampling) for each in (answer, repeated))
        return compare(
            shadowed.transcript,
            transcript,
            is_greedy=all(sampling.temperature == 0 for sampling in samplings),
            seconds=seconds,
            shadow_seconds=time.perf_counter() - began,
        )


def compare(
    transcript: Transcript, shadow: Transcript, *, is_greedy: bool, seconds: float, shadow_seconds: float
) -> Comparison:
    """Compare an answer with its shadow's. The texts are compared only if both were sampled at temperature 0."""
    if not is_greedy:
        return Comparison(seconds=seconds, shadow_seconds=shadow_seconds)
    pairs = list(zip(transcript.texts(), shadow.texts(), strict=True))
    num_common = sum(_num_common(first, second) for first, second in pairs)
    num_longest = sum(max(map(len, pair)) for pair in pairs)
    return Comparison(
        agrees=all(first == second for first, second in pairs),
        common_share=num_common / num_longest if num_longest else 1.0,
        seconds=seconds,
        shadow_seconds=shadow_seconds,
    )


def _num_common(first: str, second: str) -> int:
    """Return the length of the common beginning, in characters."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
