"""LimitsHold: the stage that keeps callers within the limits of their key and their project.

A call takes a request, a running call, and the tokens it is expected to use: an estimate for its prompts, and the
longest answer it asks for. When it has ended, what it really used replaces that. A caller without limits costs nothing.

Calls that begin and end at the same time are counted in one transaction of the database, or by one script in Redis, in
a thread. Where much is left of the limits, a call begins before that; see LimitRoom.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Generic

import msgspec

from llmos.core.errors import RateLimited
from llmos.gateway.calls.call import Call, ModelCall, Prompt, PromptedCall
from llmos.gateway.calls.embedding import EmbedCall
from llmos.gateway.calls.rating import RateCall
from llmos.gateway.calls.record import Record
from llmos.gateway.calls.stages import C
from llmos.security.limit_counts import LEASE, GiveBack, LimitCounter, Take
from llmos.security.limit_room import LimitRoom
from llmos.security.limits import Allowance

_log = logging.getLogger(__name__)

BYTES_PER_TOKEN = 4
"""For estimates before the tokens are counted."""

RENEW_SECONDS = LEASE / 3e9

GATHER_SECONDS = 0.001
"""After a transaction with several steps, the next one waits this long for more."""

GIVE_BACK_SECONDS = 0.01
"""A count that nobody waits for, such as the end of a call, is written after this time at the latest. The next call
that waits brings it along, before itself, and only other servers could see the difference."""


@dataclass(slots=True)
class _Step:
    """A step that waits to be counted."""

    what: Take | GiveBack
    outcome: "asyncio.Future[RateLimited | None] | None" = None
    """None where nobody waits."""


class LimitsHold:
    """Belongs to the event loop's thread."""

    def __init__(self, counts: LimitCounter) -> None:
        self._counts, self._room = counts, LimitRoom()
        self._waiting: list[_Step] = []
        self._worker: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        """Starts the worker for ends of calls."""
        self._renewer: asyncio.Task[None] | None = None
        self._num_held = 0

    def __call__(self, call: C, record: Record) -> AbstractAsyncContextManager[C]:
        """Raises RateLimited, which names the limit."""
        allowances = call.caller.allowances
        if record.application is not None:
            # The calls of models that the application makes count for the project already.
            allowances = tuple(each for each in allowances if not each.scope.startswith("project:"))
        if not allowances:
            return nullcontext(call)
        call = within_lengths(call, allowances)
        counted = tuple(each for each in allowances if each.limits.is_counted)
        return _Held(self, call, record, counted) if counted else nullcontext(call)

    async def finish(self) -> None:
        """Return when the ends of calls so far are counted. Calls that run then free their limits with the lease."""
        if self._renewer is not None:
            self._renewer.cancel()
        if self._waiting:
            self._start()
        while self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])

    async def begin(self, call: ModelCall, record: Record, allowances: tuple[Allowance, ...]) -> Take:
        """Return what the call takes of its limits, when it may begin. Raises RateLimited."""
        num_tokens = estimated_tokens(call) if record.operation != "count" else 0
        take = Take(allowances, num_tokens, has_begun=True)
        if self._room.take(take, time.time_ns()):
            self._enqueue(_Step(take))
        else:
            take = Take(allowances, num_tokens)
            await self._take(take)
        self._num_held += 1
        return take

    def end(self, take: Take, record: Record) -> None:
        """Count what the call has used. Nobody waits for it: a caller who goes away must not keep what it held."""
        self._num_held -= 1
        computes = record.operation != "count"
        used = sum(each.num_prompt_tokens + each.num_completion_tokens for each in record.attempts) if computes else 0
        self._enqueue(_Step(GiveBack(take, used)))

    async def _take(self, take: Take) -> None:
        """Return when the call may begin. Raises RateLimited."""
        outcome: asyncio.Future[RateLimited | None] = asyncio.get_running_loop().create_future()
        self._enqueue(_Step(take, outcome))
        try:
            refusal = await outcome
        except asyncio.CancelledError:
            if outcome.done() and not outcome.cancelled() and outcome.exception() is None and outcome.result() is None:
                self._enqueue(_Step(GiveBack(take, 0)))  # It was let in, and has gone.
            raise
        if refusal is not None:
            raise refusal

    def _enqueue(self, step: _Step) -> None:
        self._waiting.append(step)
        if step.outcome is not None:
            self._start()
        elif self._timer is None and not self._is_working():
            self._timer = asyncio.get_running_loop().call_later(GIVE_BACK_SECONDS, self._start)
        if self._renewer is None or self._renewer.done():
            self._renewer = asyncio.create_task(self._renew(), name="limits: leases")

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._is_working():
            self._worker = asyncio.create_task(self._work(), name="limits")

    def _is_working(self) -> bool:
        return self._worker is not None and not self._worker.done()

    async def _work(self) -> None:
        """Count the waiting steps, those that came during a transaction in the next one."""
        is_busy = False
        while self._waiting:
            if is_busy:
                await asyncio.sleep(GATHER_SECONDS)
            steps, self._waiting = self._waiting, []
            is_busy = len(steps) > 1
            steps = [step for step in steps if step.outcome is None or not step.outcome.done()]  # The others went away.
            try:
                refusals = await asyncio.to_thread(self._counts.apply, [step.what for step in steps])
            except Exception as error:
                self._room.forget()
                self._fail(steps, error)
                return
            has_begun = [step.what for step in steps if isinstance(step.what, Take) and step.what.has_begun]
            self._room.counted(self._counts.last_counts, has_begun)
            for step, refusal in zip(steps, refusals, strict=True):
                if step.outcome is None:
                    continue
                if not step.outcome.done():
                    step.outcome.set_result(refusal)
                elif refusal is None:
                    self._waiting.append(_Step(GiveBack(_taken(step), 0)))  # It went away meanwhile.

    def _fail(self, steps: list[_Step], error: Exception) -> None:
        """Refuse the calls that couldn't be counted, and keep the ends of others for the next time."""
        _log.error("The use of limits can't be counted", exc_info=error)
        self._waiting = [step for step in steps if step.outcome is None] + self._waiting
        for step in steps:
            if step.outcome is not None and not step.outcome.done():
                step.outcome.set_exception(error)

    async def _renew(self) -> None:
        """Renew the leases of running calls until there are none."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            if not self._num_held:
                return
            try:
                await asyncio.to_thread(self._counts.renew)
            except Exception:
                _log.exception("The leases of limits can't be renewed")


class _Held(Generic[C]):
    """See LimitsHold. Written out, since every call with limits enters it."""

    __slots__ = ("_allowances", "_call", "_hold", "_record", "_taken")

    def __init__(self, hold: LimitsHold, call: C, record: Record, allowances: tuple[Allowance, ...]) -> None:
        self._hold, self._call, self._record, self._allowances = hold, call, record, allowances
        self._taken: Take | None = None

    async def __aenter__(self) -> C:
        self._taken = await self._hold.begin(self._call, self._record, self._allowances)
        return self._call

    async def __aexit__(self, *_: object) -> None:
        assert self._taken is not None, "it was entered"
        self._hold.end(self._taken, self._record)


def within_lengths(call: C, allowances: tuple[Allowance, ...]) -> C:
    """Return the call with the longest prompt that it may have, and with no longer answer than it may ask for.

    An answer is cut there, as it is where the context window ends.
    """
    if not isinstance(call, PromptedCall):
        return call
    prompt_limits = [each.limits.prompt_tokens for each in allowances if each.limits.prompt_tokens is not None]
    if prompt_limits:
        call = replace(call, max_prompt_tokens=min(prompt_limits))
    if not isinstance(call, Call):
        return call
    params = call.sampling.params
    for allowance in allowances:
        limit = allowance.limits.output_tokens
        if limit is not None and (params.max_tokens is None or params.max_tokens > limit):
            params = msgspec.structs.replace(params, max_tokens=limit, may_exceed_context=True)
    if params is call.sampling.params:
        return call
    return replace(call, sampling=replace(call.sampling, params=params))


def estimated_tokens(call: ModelCall) -> int:
    """Return the tokens that the call may use: its prompts by their length, and the longest answers it asks for."""
    if isinstance(call, EmbedCall):
        return sum(map(_estimated_tokens_of, call.inputs))
    if isinstance(call, RateCall):
        return estimated_prompt_tokens([call.prompt]) + sum(map(_estimated_tokens_of, call.continuations))
    if not isinstance(call, Call):
        return 1
    return estimated_prompt_tokens(call.prompts) + (call.sampling.params.max_tokens or 0) * call.num_choices


def estimated_prompt_tokens(prompts: Sequence[Prompt]) -> int:
    num_bytes = num_tokens = 0
    for prompt in prompts:
        if prompt.tokens is not None:
            num_tokens += len(prompt.tokens)
        else:
            num_bytes += len(msgspec.json.encode([prompt.messages, prompt.user_text, prompt.text, prompt.suffix]))
    return num_tokens + num_bytes // BYTES_PER_TOKEN


def _estimated_tokens_of(text: str | list[int]) -> int:
    return len(text) // (1 if isinstance(text, list) else BYTES_PER_TOKEN) + 1


def _taken(step: _Step) -> Take:
    assert isinstance(step.what, Take), "only those who want to begin wait"
    return step.what
