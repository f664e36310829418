"""Running a suite: many cases in flight, each answer checked, nothing asked twice.

An answer that fails is an error of its case, and the run goes on. The caller keeps attempts as they come, and gives
those that it has to the run that continues.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from llmos.core.errors import LLMOSError
from llmos.evals.answers import Answer
from llmos.evals.asking import Answerer, Asker, ask_judge
from llmos.evals.attempts import JUDGE_PREFIX, Attempt, AttemptKey, CheckResult
from llmos.evals.checks import Check, Subject
from llmos.evals.checks.check import AnswerFailed, Unchecked
from llmos.evals.statistics import cohens_kappa
from llmos.evals.suites import MIN_KAPPA, MIN_LABELLED, Case, Judge, Suite

_NO_OPINION = "All its checks ask a judge that doesn't agree enough with labelled answers."
_ROUNDING = 1e-9
"""Sums of weights such as 0.1 aren't exact."""

OnAttempt = Callable[[Attempt], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """The agreement of a judge with persons."""

    judge: str
    version: str
    num_labelled: int
    num_agreed: int
    kappa: float | None
    """Cohen's kappa; None where the labels can't say: none, or all the same."""

    @property
    def is_trusted(self) -> bool:
        return self.kappa is not None and self.kappa >= MIN_KAPPA and self.num_labelled >= MIN_LABELLED


@dataclass(kw_only=True)
class Run:
    """The attempts at the cases of a suite."""

    suite: Suite
    answerers: Sequence[Answerer]
    num_repeats: int
    num_in_flight: int
    on_attempt: OnAttempt
    known: Mapping[AttemptKey, Attempt] = field(default_factory=dict)
    """The attempts that an earlier process made."""
    attempts: list[Attempt] = field(default_factory=list)
    agreements: Sequence[Agreement] = ()

    async def run(self, asker: Asker | None = None) -> None:
        """Make all attempts. `asker`: who asks judges, if the suite has some."""
        self.attempts = list(self.known.values())
        if asker is not None and self.suite.judges:
            await _gather((self._label(asker, judge, i) for judge, i in self._unlabelled()), self.num_in_flight)
            self.agreements = [agreement_of(judge, self.attempts) for judge in self.suite.judges.values()]
        todo = list(self._todo())
        await _gather((self._attempt(*each) for each in todo if not each[1].is_timed), self.num_in_flight)
        for answerer, case, repeat in todo:
            if case.is_timed:
                await self._attempt(answerer, case, repeat)

    def _todo(self) -> Iterable[tuple[Answerer, Case, int]]:
        # Models that are compared answer the same case at the same time, so that the machine is equally busy for both.
        for case in self.suite.cases:
            for answerer in self.answerers:
                for repeat in range(self.num_repeats):
                    if (answerer.name, case.id, repeat) not in self.known:
                        yield answerer, case, repeat

    def _unlabelled(self) -> Iterable[tuple[Judge, int]]:
        for judge in self.suite.judges.values():
            for index in range(len(judge.labelled)):
                if (f"{JUDGE_PREFIX}{judge.name}", str(index), 0) not in self.known:
                    yield judge, index

    async def _label(self, asker: Asker, judge: Judge, index: int) -> None:
        labelled = judge.labelled[index]
        made = Attempt(model=f"{JUDGE_PREFIX}{judge.name}", case=str(index))
        try:
            finding = await ask_judge(asker, judge, labelled.input, labelled.answer)
        except LLMOSError as error:
            await self._keep(replace(made, error=str(error)))
        else:
            await self._keep(replace(made, answer=Answer(text=finding.text), passed=finding.holds))

    async def _attempt(self, answerer: Answerer, case: Case, repeat: int) -> None:
        made = Attempt(model=answerer.name, case=case.id, repeat=repeat)
        try:
            made = replace(made, answer=await answerer.answer(case, repeat) if case.needs_answer else Answer())
            made = await self._checked(made, answerer, case)
        except AnswerFailed as error:
            made = replace(made, passed=False, error=str(error))
        except (LLMOSError, Unchecked) as error:
            made = replace(made, error=str(error))
        await self._keep(made)

    async def _checked(self, made: Attempt, answerer: Answerer, case: Case) -> Attempt:
        """Return an attempt with what its checks find. Raises Unchecked."""
        assert made.answer is not None, "it was asked"
        subject = Subject(
            answer=made.answer,
            input=case.input,
            expected=case.expected,
            variables=case.variables,
            helpers=answerer.helpers,
        )
        checks = [await _result(check, subject, self._weight(check)) for check in case.checks]
        total = sum(check.weight for check in checks)
        if not total:
            return replace(made, checks=checks, error=_NO_OPINION)
        held = sum(check.weight for check in checks if check.holds)
        return replace(made, checks=checks, passed=held >= case.threshold * total - _ROUNDING)

    def _weight(self, check: Check) -> float:
        """Return the weight of a check: none for the opinion of a judge that isn't trusted."""
        if check.kind.name == "judge":
            trusted = any(each.judge == check.value and each.is_trusted for each in self.agreements)
            return check.weight if trusted else 0.0
        return check.weight

    async def _keep(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        await self.on_attempt(attempt)


def agreement_of(judge: Judge, attempts: Sequence[Attempt]) -> Agreement:
    """Return how far a judge agrees with its labelled answers. One without a verdict counts as disagreement."""
    found = {int(each.case): each.passed for each in attempts if each.model == f"{JUDGE_PREFIX}{judge.name}"}
    pairs = [
        (not labelled.passes if (passed := found.get(index)) is None else passed, labelled.passes)
        for index, labelled in enumerate(judge.labelled)
    ]
    return Agreement(
        judge=judge.name,
        version=judge.version,
        num_labelled=len(pairs),
        num_agreed=sum(judged == label for judged, label in pairs),
        kappa=cohens_kappa(pairs),
    )


async def _result(check: Check, subject: Subject, weight: float) -> CheckResult:
    finding = await check.ask(subject)
    return CheckResult(name=check.name, holds=finding.holds, text=finding.text, weight=weight)


async def _gather(work: Iterable[Coroutine[Any, Any, None]], at_once: int) -> None:
    """Do all of it, a few at a time. The first failure, or a cancellation, ends the others."""
    waiting = iter(work)

    async def worker() -> None:
        for each in waiting:
            await each

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
