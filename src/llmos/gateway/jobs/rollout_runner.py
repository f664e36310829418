"""Runs rollouts, in the serving process: loads the promoted Version, tries the cases, and judges its calls.

Decisions are in the database before the next call is routed by them, so the next server continues where a killed one
stopped. So is the evidence of the current step, but for that of the last second: see kept_evidence.py.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

import msgspec

from llmos.core.clock import Clock, utc_now
from llmos.core.errors import BadRequest, LLMOSError
from llmos.core.schemas.routes import TargetEvidence
from llmos.deployments.rollouts.cases import Case
from llmos.deployments.rollouts.decision import carry_out, decide, has_enough, measure
from llmos.deployments.rollouts.evidence import Evidence
from llmos.deployments.rollouts.gates import Judgement, judge, metrics_of, parse_gate
from llmos.deployments.rollouts.rollout import Rollout
from llmos.deployments.rollouts.rollouts import Rollouts
from llmos.engine.messages import SamplingParams
from llmos.gateway.calls.call import Call, Prompt, Sampling
from llmos.gateway.calls.pipeline import Pipeline
from llmos.security.callers import owner

_log = logging.getLogger(__name__)

POLL_SECONDS = 1.0

CASES_AT_ONCE = 4

_NO_CASES = Judgement("holds", "it is loaded, and no cases were asked for")


class RolloutRunner:
    def __init__(self, rollouts: Rollouts, evidence: Evidence, pipeline: Pipeline, *, clock: Clock = utc_now) -> None:
        self._rollouts, self._evidence, self._pipeline, self._clock = rollouts, evidence, pipeline, clock
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Run the active rollouts, until cancelled."""
        try:
            while True:
                try:
                    await self.reconcile()
                except Exception:  # For example, the database is unavailable for a while.
                    _log.exception("The rollouts can't be read; trying again")
                await asyncio.sleep(POLL_SECONDS)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def reconcile(self) -> None:
        """Start the next check of every active rollout, unless one is running. Doesn't wait for them; see wait()."""
        active = await asyncio.to_thread(self._rollouts.active)
        for id in self._tasks.keys() - {rollout.id for rollout in active}:
            self._tasks[id].cancel()  # It was rolled back or stopped meanwhile.
        for rollout in active:
            if rollout.id not in self._tasks:
                task = self._tasks[rollout.id] = asyncio.create_task(self._check(rollout))
                task.add_done_callback(partial(self._forget, rollout.id))

    async def wait(self) -> None:
        """Return when the running checks have finished."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _forget(self, id: int, _: "asyncio.Task[None]") -> None:
        self._tasks.pop(id, None)

    async def _check(self, rollout: Rollout) -> None:
        try:
            if rollout.state == "starting":
                await self._start(rollout)
            else:
                await self._judge(rollout)
        except LLMOSError as error:
            _log.warning("Rollout %d of %s: %s", rollout.id, rollout.route, error.message)
        except Exception:
            _log.exception("Rollout %d of %s can't be checked; trying again", rollout.id, rollout.route)

    async def _start(self, rollout: Rollout) -> None:
        """Load the Version and try the cases. Then start the first step, or roll back."""
        gate, model = parse_gate(rollout.gate), rollout.target
        try:
            await self._load(model)
            if rollout.cases and not rollout.scores:
                scores = {"new": await self._score(model, rollout.cases)}
                if gate.compares_score:
                    model = rollout.main_before
                    await self._load(model)
                    scores["before"] = await self._score(model, rollout.cases)
                rollout = await asyncio.to_thread(self._rollouts.record_scores, rollout, scores)
        except LLMOSError as error:
            await asyncio.to_thread(self._rollouts.roll_back, rollout, f"{model} can't answer: {error.message}")
            return
        judgement = _NO_CASES
        if gate.asks_for_score:
            window, before = (self._window(rollout, target) for target in (rollout.target, rollout.main_before))
            judgement = judge(gate.of_score, measure(rollout, window, before), rollout.min_calls)
        if judgement.verdict == "holds":
            # If the first step leaves no calls to the current target, its earlier calls are compared with.
            remembered = self._evidence.window(rollout.route, rollout.main_before)
            baseline = metrics_of(remembered) if has_enough(remembered, rollout) else None
            await asyncio.to_thread(self._rollouts.advance, rollout, judgement, baseline)
        else:
            await asyncio.to_thread(self._rollouts.roll_back, rollout, judgement.reason)

    async def _judge(self, rollout: Rollout) -> None:
        window, before = (self._window(rollout, target) for target in (rollout.target, rollout.main_before))
        decision = decide(rollout, window, before, self._clock())
        await asyncio.to_thread(carry_out, decision, rollout, self._rollouts)

    def _window(self, rollout: Rollout, target: str) -> TargetEvidence:
        return self._evidence.window(rollout.route, target, rollout.step_began_at)

    async def _load(self, model: str) -> None:
        """Load a model, however long that takes, and send it one prompt. Raises LLMOSError if it can't answer."""
        await self._pipeline.load(model, owner(is_background=True), wait=True)
        await self._ask(model, Case(prompt="Hello", contains="anything", max_tokens=1))

    async def _score(self, model: str, cases: Sequence[Case]) -> float:
        """Return the share of the cases that a model answers correctly. A case that it refuses counts as wrong."""
        slots = asyncio.Semaphore(CASES_AT_ONCE)

        async def is_right(case: Case) -> bool:
            async with slots:
                try:
                    return case.is_right(await self._ask(model, case))
                except BadRequest:
                    return False

        try:
            async with asyncio.TaskGroup() as group:  # The first error cancels the others.
                tries = [group.create_task(is_right(case)) for case in cases]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return sum(each.result() for each in tries) / len(cases)

    async def _ask(self, model: str, case: Case) -> str:
        prompt = Prompt(user_text=case.prompt)
        if case.messages is not None:
            prompt = Prompt(messages=[msgspec.to_builtins(message) for message in case.messages])
        params = SamplingParams(temperature=0.0, max_tokens=case.max_tokens)
        call = Call(
            model=model,
            prompts=[prompt],
            sampling=Sampling(params, given=frozenset({"temperature"})),
            caller=owner(is_background=True),
            id_prefix="case",
        )
        async with self._pipeline.generate(call, is_streamed=False) as answer:
            (choice,) = await answer.read_choices()
        return choice.text
