"""Carries rollouts out, in the serving process: loads what is promoted, tries its cases, and judges its calls.

What was decided is in the database before the next call goes by it, so a killed server goes on where it was; what its
calls showed since the step began is in memory, and a new process gathers it anew.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from llmos.core.clock import Clock, utc_now
from llmos.core.errors import BadRequest, LLMOSError
from llmos.deployments.cases import Case
from llmos.deployments.evidence import Window
from llmos.deployments.gates import Gate, Judgement, Measured, judge, metrics_of, parse_gate
from llmos.deployments.rollouts import Rollout, Rollouts
from llmos.engine.messages import SamplingParams
from llmos.gateway.background import in_background
from llmos.gateway.call import Call, Prompt, Sampling
from llmos.gateway.pipeline import answer
from llmos.gateway.services import Services
from llmos.security.auth import OWNER

_log = logging.getLogger(__name__)

POLL_SECONDS = 1.0

CASES_AT_ONCE = 4

_NO_CALLS = Judgement("holds", "it is loaded, and no cases were asked for")


class RolloutRunner:
    def __init__(self, services: Services, *, clock: Clock = utc_now) -> None:
        self._services, self._clock = services, clock
        self._rollouts: Rollouts = services.rollouts
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Carry out what there is and what comes, until cancelled."""
        try:
            while True:
                try:
                    await self.look()
                except Exception:  # Such as a database that is away for a while.
                    _log.exception("Rollouts can't be looked at; they are again in a moment")
                await asyncio.sleep(POLL_SECONDS)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def look(self) -> None:
        """Go on with every rollout that isn't being gone on with. Returns when that has begun; see wait()."""
        for rollout in await asyncio.to_thread(self._rollouts.active):
            if rollout.id not in self._tasks:
                task = self._tasks[rollout.id] = asyncio.create_task(self._go_on(rollout))
                task.add_done_callback(partial(self._forget, rollout.id))

    async def wait(self) -> None:
        """Return when what was begun has been done."""
        await asyncio.gather(*self._tasks.values())

    def _forget(self, id: int, _: "asyncio.Task[None]") -> None:
        self._tasks.pop(id, None)

    async def _go_on(self, rollout: Rollout) -> None:
        try:
            if rollout.state == "starting":
                await self._start(rollout)
            else:
                await self._judge(rollout)
        except LLMOSError as error:
            _log.warning("Rollout %d of %s: %s", rollout.id, rollout.route, error.message)
        except Exception:
            _log.exception("Rollout %d of %s is gone on with in a moment", rollout.id, rollout.route)

    async def _start(self, rollout: Rollout) -> None:
        """Load the version and try the cases; then it gets its first calls, or none."""
        gate = parse_gate(rollout.gate)
        try:
            await self._ask(rollout.target, Case(prompt="Hello", contains="anything", max_tokens=1))
            if rollout.cases and not rollout.scores:
                scores = {"new": await self._score(rollout.target, rollout.cases)}
                if any(condition.is_relative for condition in gate.conditions if condition.metric == "score"):
                    scores["before"] = await self._score(rollout.main_before, rollout.cases)
                rollout = await asyncio.to_thread(self._rollouts.note_scores, rollout, scores)
        except LLMOSError as error:
            await asyncio.to_thread(
                self._rollouts.roll_back, rollout, f"{rollout.target} can't answer: {error.message}"
            )
            return
        scored = Gate(tuple(condition for condition in gate.conditions if condition.metric == "score"))
        judgement = _NO_CALLS
        if scored.conditions:
            judgement = judge(scored, self._measured(rollout), rollout.min_calls)
        if judgement.verdict == "holds":
            await asyncio.to_thread(self._rollouts.advance, rollout, judgement)
        else:
            await asyncio.to_thread(self._rollouts.roll_back, rollout, judgement.reason)

    async def _judge(self, rollout: Rollout) -> None:
        measured = self._measured(rollout)
        judgement = judge(parse_gate(rollout.gate), measured, rollout.min_calls)
        if judgement.verdict == "fails":
            await asyncio.to_thread(self._rollouts.roll_back, rollout, judgement.reason)
        elif judgement.verdict == "holds":
            await asyncio.to_thread(self._rollouts.advance, rollout, judgement, measured.before)
        elif rollout.max_hold_seconds is not None:
            held_seconds = (self._clock() - rollout.step_began_at).total_seconds()
            if held_seconds > rollout.max_hold_seconds:
                reason = (
                    f"not enough is known after {held_seconds:.0f} seconds at {rollout.percent:g} %: {judgement.reason}"
                )
                await asyncio.to_thread(self._rollouts.roll_back, rollout, reason)

    def _measured(self, rollout: Rollout) -> Measured:
        window = self._window(rollout, rollout.target)
        before = self._window(rollout, rollout.main_before)
        # The last step has no calls left to compare with: then it is with those of the step before.
        has_enough = before.num_answered + before.num_failed >= rollout.min_calls
        baseline = metrics_of(before) if has_enough else dict(rollout.baseline)
        return Measured(window=window, before=baseline, scores=rollout.scores)

    def _window(self, rollout: Rollout, target: str) -> Window:
        return self._services.evidence.window(rollout.route, target, rollout.step_began_at)

    async def _score(self, model: str, cases: Sequence[Case]) -> float:
        """Return the share of the cases that a model answers right; one that it can't take is not."""
        free = asyncio.Semaphore(CASES_AT_ONCE)

        async def is_right(case: Case) -> bool:
            async with free:
                try:
                    return case.is_right(await self._ask(model, case))
                except BadRequest:
                    return False

        return sum(await asyncio.gather(*map(is_right, cases))) / len(cases)

    async def _ask(self, model: str, case: Case) -> str:
        prompt = Prompt(user_text=case.prompt) if case.messages is None else Prompt(messages=case.messages)
        params = SamplingParams(temperature=0.0, max_tokens=case.max_tokens)
        call = Call(
            model=model,
            prompts=[prompt],
            sampling=Sampling(params, given=frozenset({"temperature"})),
            id_prefix="case",
        )
        with in_background():
            async with answer(self._services, call, OWNER, is_streamed=False) as running:
                (choice,) = await running.whole()
        return choice.text
