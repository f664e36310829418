"""Evals of an application: the suites in its folder evals/, run in this process.

    - id: hours
      input: When do you open?
      variables: {shop: Acme}
      expect: {contains: nine, cites: hours.md}

Cases, checks, gates and verdicts are those of llmos.evals. Checks that ask a model, or run a program, have an Asker.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmos.apps import App, AppError, Run
from llmos.client.mocked_calls import MockedCalls
from llmos.core.errors import BadRequest, LLMOSError
from llmos.core.money import format_nanos
from llmos.core.names import APP_PREFIX
from llmos.core.schemas.app_manifests import AppManifest
from llmos.core.schemas.evals import EvalRunDetails
from llmos.core.schemas.runs import StepDescription
from llmos.evals import running
from llmos.evals.answers import Answer, ToolCall
from llmos.evals.asking import Asker, ModelAnswerer
from llmos.evals.attempts import Attempt
from llmos.evals.suite_reading import read_suite
from llmos.evals.suites import Case, Gates, Judge, Suite
from llmos.evals.verdicts import judge_run

_PARALLEL = 4
_WRITE_SOME = "Write some into"


def read_folder(folder: Path) -> Suite:
    """Return one suite of all files evals/*.yaml of an application. Raises BadRequest that names file and line."""
    suites = {path: read_suite(path.read_text(encoding="utf-8"), str(path)) for path in _files(folder)}
    if not suites:
        raise BadRequest(f"{folder} has no cases. {_WRITE_SOME} {folder / 'evals' / 'cases.yaml'}.")
    first_of: dict[str, Path] = {}
    for path, suite in suites.items():
        for case in suite.cases:
            if (other := first_of.setdefault(case.id, path)) != path:
                raise BadRequest(f"{path}: the id {case.id!r} is taken by a case in {other}. Each case needs its own.")
    found = [*suites.values()]
    return replace(
        found[0],
        cases=[case for each in found for case in each.cases],
        gates=_gates(found),
        judges=_judges(suites),
    )


def gates_of(manifest: AppManifest, suite: Suite) -> Suite:
    """Return a suite as app.yaml has it: with its gates where the suite has none, and its model for `likelihood`.

    There is no other version here, so `not_worse_by` isn't judged.
    """
    gates, given = suite.gates, manifest.gates
    if gates.is_empty and given is not None:
        gates = Gates(all_pass=given.all_pass, pass_rate=given.pass_rate, beats_baseline=given.beats_baseline)
    return replace(suite, gates=gates, model=suite.model or manifest.model)


def _files(folder: Path) -> Sequence[Path]:
    return sorted((folder / "evals").glob("*.yaml"))


def _gates(suites: Sequence[Suite]) -> Gates:
    """Return the gates of the first suite that has some: they are about all cases together."""
    return next((each.gates for each in suites if not each.gates.is_empty), Gates())


def _judges(suites: Mapping[Path, Suite]) -> Mapping[str, Judge]:
    found: dict[str, Judge] = {}
    for path, suite in suites.items():
        for name, judge in suite.judges.items():
            if found.setdefault(name, judge) != judge:
                raise BadRequest(f"{path}: there is another judge {name!r} in another file. Give it another name.")
    return found


async def evaluate(app: App, suite: Suite, *, num_repeats: int = 1, asker: Asker | None = None) -> EvalRunDetails:
    """Run an application on the cases of a suite, a few at once. A run that fails is an error of its case.

    `asker`: asks the models of checks, and runs their programs; without it, such a case is an error.
    """
    name = f"{APP_PREFIX}{app.name}"
    answerer = _Application(app, None if asker is None else ModelAnswerer(name, suite, asker), suite.effects)
    run = running.Run(
        suite=suite,
        answerers=[answerer],
        num_repeats=num_repeats,
        num_in_flight=_PARALLEL,
        on_attempt=_keep_nothing,
    )
    await run.run(asker)
    report = judge_run(suite, [answerer.name], run.attempts, run.agreements)
    return EvalRunDetails(
        suite=app.name,
        suite_digest=suite.digest,
        state="finished",
        models=[answerer.name],
        num_repeats=num_repeats,
        num_cases=len(suite.cases),
        num_done=len(run.attempts),
        num_total=len(run.attempts),
        verdict=report.verdict,
        results=[*report.results],
        gates=[*report.gates],
        judges=[*report.judges],
        cases=[*report.cases],
    )


async def _keep_nothing(attempt: Attempt) -> None:
    """Keep no attempt: the report has them all."""


@dataclass(frozen=True, slots=True)
class _Application:
    """Answers cases with an application in this process."""

    app: App
    helpers: ModelAnswerer | None
    allows_effects: bool

    @property
    def name(self) -> str:
        return f"{APP_PREFIX}{self.app.name}"

    async def answer(self, case: Case, repeat: int) -> Answer:
        began = time.perf_counter()
        try:
            mocks = MockedCalls(case.mocks, allows_effects=self.allows_effects)
            run = await self.app.arun(case.input, variables=case.variables, keep=False, mocks=mocks)
        except AppError as error:
            raise LLMOSError(str(error)) from None
        return answer_of(run, time.perf_counter() - began)


def answer_of(run: Run, seconds: float) -> Answer:
    """Return what checks look at of a run."""
    return Answer(
        text=run.text,
        tool_calls=[_call(step) for step in run.steps if step.kind == "tool"],
        documents=list(dict.fromkeys(citation.document for citation in run.citations)),
        abstained=run.abstained,
        num_input_tokens=run.usage.prompt_tokens,
        num_output_tokens=run.usage.completion_tokens,
        seconds=seconds,
        cost="" if run.cost is None else format_nanos(run.cost),
        currency=run.currency,
        finish_reason=run.finish_reason,
    )


def _call(step: StepDescription) -> ToolCall:
    arguments: Mapping[str, Any] | None = step.arguments if isinstance(step.arguments, dict) else None
    return ToolCall(name=step.name, arguments=arguments)
