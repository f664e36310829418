"""LimitsHold: the stage that keeps callers within the limits of their key and their project.

A call takes a request, a running call, and the tokens it is expected to use: an estimate for its prompts, and the
longest answer it asks for. When it has ended, what it really used replaces that. A caller without limits costs nothing.

Calls that begin and end at the same time are counted in one transaction of the database, or by one script in Redis, in
a thread.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace

import msgspec

from llmos.core.errors import RateLimited
from llmos.gateway.calls.call import Call, ModelCall, Prompt, PromptedCall
from llmos.gateway.calls.embedding import EmbedCall
from llmos.gateway.calls.rating import RateCall
from llmos.gateway.calls.record import Record
from llmos.gateway.calls.stages import C
from llmos.security.limit_counts import LEASE, GiveBack, LimitCounter, Take
from llmos.security.limits import Allowance

_log = logging.getLogger(__name__)

BYTES_PER_TOKEN = 4
"""For estimates before the tokens are counted."""

RENEW_SECONDS = LEASE / 3e9


@dataclass(slots=True)
class _Step:
    """A step that waits to be counted."""

    what: Take | GiveBack
    outcome: "asyncio.Future[RateLimited | None] | None" = None
    """None where nobody waits."""


class LimitsHold:
    """Belongs to the event loop's thread."""

    def __init__(self, counts: LimitCounter) -> None:
        self._counts = counts
        self._waiting: list[_Step] = []
        self._worker: asyncio.Task[None] | None = None
        self._renewer: asyncio.Task[None] | None = None
        self._num_held = 0

    def __call__(self, call: C, record: Record) -> AbstractAsyncContextManager[C]:
        """Raises RateLimited, which names the limit."""
        allowances = call.caller.allowances
        if record.application is not None:
            # What its models compute counts for the project as the application's calls.
            allowances = tuple(each for each in allowances if not each.scope.startswith("project:"))
        return self._hold(call, record, allowances) if allowances else nullcontext(call)

    async def finish(self) -> None:
        """Return when the ends of calls so far are counted. Calls that run then free their limits with the lease."""
        if self._renewer is not None:
            self._renewer.cancel()
        while self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])

    @asynccontextmanager
    async def _hold(self, call: C, record: Record, allowances: tuple[Allowance, ...]) -> AsyncIterator[C]:
        call = within_lengths(call, allowances)
        counted = tuple(each for each in allowances if each.limits.is_counted)
        if not counted:
            yield call
            return
        computes = record.operation != "count"
        take = Take(counted, estimated_tokens(call) if computes else 0)
        await self._take(take)
        self._num_held += 1
        try:
            yield call
        finally:
            self._num_held -= 1
            used = sum(each.num_prompt_tokens + each.num_completion_tokens for each in record.attempts)
            # Nobody waits for it: a caller who goes away must not keep what it held.
            self._enqueue(_Step(GiveBack(take, used if computes else 0)))

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
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="limits")
        if self._renewer is None or self._renewer.done():
            self._renewer = asyncio.create_task(self._renew(), name="limits: leases")

    async def _work(self) -> None:
        """Count the waiting steps, those that came during a transaction in the next one."""
        while self._waiting:
            steps, self._waiting = self._waiting, []
            steps = [step for step in steps if step.outcome is None or not step.outcome.done()]  # The others went away.
            try:
                refusals = await asyncio.to_thread(self._counts.apply, [step.what for step in steps])
            except Exception as error:
                self._fail(steps, error)
                return
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
        return _estimated_prompt_tokens([call.prompt]) + sum(map(_estimated_tokens_of, call.continuations))
    if not isinstance(call, Call):
        return 1
    return _estimated_prompt_tokens(call.prompts) + (call.sampling.params.max_tokens or 0) * call.num_choices


def _estimated_prompt_tokens(prompts: Sequence[Prompt]) -> int:
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
