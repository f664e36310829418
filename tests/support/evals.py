"""Askers that answer out of a script, and suites to run with them."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmos.core.errors import LLMOSError
from llmos.evals.asking import ModelAnswerer
from llmos.evals.attempts import Attempt
from llmos.evals.running import Run
from llmos.evals.suite_reading import read_suite
from llmos.evals.suites import Suite
from llmos.evals.verdicts import Report, judge_run

Say = Callable[[str, Mapping[str, Any]], str | Mapping[str, Any] | Exception]
"""say(prompt, request): the text of the answer, a whole answer, or what is raised."""


@dataclass
class ScriptedAsker:
    say: Say
    requests: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    num_running: int = 0
    most_running: int = 0

    async def post(self, path: str, body: Mapping[str, Any], key: str = "") -> Mapping[str, Any]:
        self.requests.append((path, body))
        self.num_running += 1
        self.most_running = max(self.most_running, self.num_running)
        await asyncio.sleep(0)
        self.num_running -= 1
        asked = [body["input"]] if path.endswith("/runs") else body.get("messages", [])
        prompt = asked[-1]["content"] if asked else ""
        said = self.say(prompt, body)
        if isinstance(said, Exception):
            raise said
        return completion(said) if isinstance(said, str) else said

    async def run_python(self, program: str) -> str:
        try:
            exec(program, {})
        except AssertionError as error:
            return str(error) or "an assertion fails"
        return ""


def completion(text: str, version: str = "fake@1", **message: Any) -> dict[str, Any]:
    return {
        "model": version,
        "choices": [{"message": {"content": text, **message}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": len(text.split()), "cost": "0.001", "currency": "EUR"},
    }


def suite_of(text: str) -> Suite:
    return read_suite(text, "suite.yaml")


@dataclass
class Ran:
    report: Report
    attempts: list[Attempt]
    kept: list[Attempt]


def run_suite(
    suite: Suite | str, asker: ScriptedAsker, *models: str, repeats: int = 1, known: list[Attempt] | None = None
) -> Ran:
    """Run a suite to its end."""
    suite = suite_of(suite) if isinstance(suite, str) else suite
    names, kept = models or ("fake",), list[Attempt]()

    async def keep(attempt: Attempt) -> None:
        kept.append(attempt)

    run = Run(
        suite=suite,
        answerers=[ModelAnswerer(name, suite, asker, repeats) for name in names],
        num_repeats=repeats,
        num_in_flight=8,
        on_attempt=keep,
        known={each.key: each for each in known or []},
    )
    asyncio.run(run.run(asker))
    return Ran(judge_run(suite, names, run.attempts, run.agreements), run.attempts, kept)


def failing(message: str = "The provider is down.") -> Exception:
    return LLMOSError(message)
