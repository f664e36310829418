"""The brain of the application `code`: write, run the tests in the sandbox, and repair at most twice."""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from llmos.applications.code.prompting import (
    Question,
    ask_for_code,
    ask_for_repair,
    ask_for_signature,
    ask_for_tests,
    asserts_of,
    code_of,
    signature_of,
)
from llmos.applications.code.sandbox import Report, SandboxLimits, run_tests
from llmos.applications.code.sandbox.running import check_sandbox
from llmos.applications.code.tasks import Task, about_code, task_of, with_signature
from llmos.apps import Reply, Step, ask

MAX_REPAIRS = 2
_REPEATED = "The model wrote the same code again, so that it wasn't asked further. A higher temperature may help."
_MAX_PRINTED = 4_000
"""Characters of stdout and of stderr that a report keeps: its end."""


class Attempt(BaseModel):
    """One version of the code, and how its tests ended."""

    code: str
    report: Report


class Solution(BaseModel):
    """The application's answer."""

    code: str
    passed: bool
    """All tests passed."""
    tests: str
    tests_by: Literal["caller", "model"]
    attempts: list[Attempt]
    """All versions, the last one at the end."""
    failed: list[str]
    """The failures of the last version."""


class Coder:
    """Writes Python functions, with the model of the run that it works in."""

    def __init__(self, limits: SandboxLimits | None = None, max_repairs: int = MAX_REPAIRS) -> None:
        """`max_repairs`: how often what failed goes back to the model, at most twice."""
        self._limits, self._max_repairs = limits, min(max_repairs, MAX_REPAIRS)
        self._tested = Step(self.test_code, effect=False, seconds=None)

    async def write(self, input: Any, before: Sequence[Mapping[str, Any]] = ()) -> Reply:
        """Return code for a task, with the report of its tests. Raises NoSandbox and BadRequest.

        `before`: the messages of the session. A task without a signature may be about the code of the last answer.
        """
        task = task_of(input)
        if not task.signature:
            task = about_code(task, _last_code(before))
        await asyncio.to_thread(check_sandbox)
        if not task.signature and not task.tests:
            task = with_signature(task, signature_of(await _answer(ask_for_signature(task))))
        tests = task.tests
        if not tests:
            tests = asserts_of(await _answer(ask_for_tests(task)), task.name)
        attempts, is_repeating = await self._attempts(task, tests)
        last = attempts[-1]
        solution = Solution(
            code=last.code,
            passed=last.report.passed,
            tests=tests,
            tests_by="caller" if task.tests else "model",
            attempts=attempts,
            failed=_failures(last.report),
        )
        notes = [_REPEATED] if is_repeating else []
        return Reply(text=text_of(solution), output=solution.model_dump(mode="json"), notes=notes)

    async def _attempts(self, task: Task, tests: str) -> tuple[list[Attempt], bool]:
        """Return the versions, until one passes or none is left, and whether the model wrote the same again."""
        attempts: list[Attempt] = []
        question = ask_for_code(task)
        while True:
            code = _program(task, code_of(await _answer(question)))
            if code in [each.code for each in attempts]:
                return attempts, True
            report = await self._tested.awaited(code, tests, task.name)
            attempts.append(Attempt(code=code, report=report))
            if report.passed or not tests or len(attempts) > self._max_repairs:
                return attempts, False
            question = ask_for_repair(task, code, report)

    def test_code(self, code: str, tests: str, entry_point: str) -> Report:
        """Run the tests in the sandbox."""
        report = run_tests(code, tests, entry_point=entry_point, limits=self._limits)
        return dataclasses.replace(report, stdout=report.stdout[-_MAX_PRINTED:], stderr=report.stderr[-_MAX_PRINTED:])


def _failures(report: Report) -> list[str]:
    """Return what failed: the tests, or why they didn't all run."""
    messages = [each.message for each in report.tests if not each.passed]
    return messages or ([] if report.passed else [report.why])


def text_of(solution: Solution) -> str:
    """Return the answer as text: the code, what the tests said, and who wrote them."""
    by = "your tests" if solution.tests_by == "caller" else "tests that the model wrote"
    report, num_attempts = solution.attempts[-1].report, len(solution.attempts)
    tried = f" after {num_attempts} attempts" if num_attempts > 1 else ""
    if solution.passed:
        said = [f"It passes {by} ({len(report.tests)}){tried}."]
    elif not solution.tests:
        said = ["It isn't tested: there are no tests, and the model wrote none that can be used."]
    else:
        said = [f"It fails {by}{tried}:", "", *(f"- {each}" for each in solution.failed)]
    if solution.tests and solution.tests_by == "model":
        said += ["", "The tests:", "", f"```python\n{solution.tests}\n```"]
    return "\n".join([f"```python\n{solution.code.strip()}\n```", "", *said])


def _last_code(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the code of the last answer; empty if there is none."""
    answers = [each.get("content") for each in messages if each.get("role") == "assistant"]
    return code_of(answers[-1]) if answers and isinstance(answers[-1], str) and "```" in answers[-1] else ""


async def _answer(question: Question) -> str:
    return (await ask(question.text, options=question.options)).text


def _program(task: Task, code: str) -> str:
    """Return the code behind what must stand before it."""
    return f"{task.preamble.rstrip()}\n\n\n{code}" if task.preamble.strip() else code
