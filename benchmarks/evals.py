"""Measure evals: what the framework takes for a case itself, and how busy it keeps the engine.

    python benchmarks/evals.py [--cases 1000] [--rounds 3] [--model smollm2] [--promptfoo] [--json]

    own      cases of two checks whose answers cost nothing: reading, checking, keeping on the disk, the verdict
    promptfoo  the same cases by `promptfoo eval`, of the path or by npx, with its provider `echo`, without the time of
             a run of one case; in turns with `own`
    engine   the cases on a model of LLMOS_HOME, beside the same requests sent by nothing but a loop, in turns

`own` and `promptfoo` need no model; without --model, `engine` is left out.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmos.cli.pipeline_asking import PipelineAsker
from llmos.core.config import load_settings
from llmos.core.encryption.opening import open_encryption
from llmos.data.evals import EvalRuns, NewEvalRun
from llmos.data.evals.executing import execute
from llmos.evals.asking import ModelAnswerer
from llmos.evals.suite_reading import parse_suite
from llmos.evals.suites import Suite
from llmos.models import open_registry

PROMPTFOO = "promptfoo@0.123.1"
MAX_TOKENS = 24
NUM_IN_FLIGHT = 64


class Instant:
    """Answers at once with the prompt."""

    async def post(self, path: str, body: Mapping[str, Any], key: str = "") -> Mapping[str, Any]:
        text = body["messages"][-1]["content"]
        usage = {"prompt_tokens": 8, "completion_tokens": 8}
        return {"model": "instant@1", "choices": [{"message": {"content": text}}], "usage": usage}

    async def run_python(self, program: str) -> str:
        raise AssertionError("no case of this suite runs a program")


def suite_of(num_cases: int) -> Suite:
    drawn = random.Random(7)
    cases = []
    for index in range(num_cases):
        one, other = drawn.randrange(100), drawn.randrange(100)
        question = f"Case {index}: what is {one} plus {other}?"
        cases.append({"id": f"c{index}", "input": question, "expect": {"contains": "plus", "not_contains": "minus"}})
    document = {"name": "sums", "cases": cases, "sampling": {"max_tokens": MAX_TOKENS}, "gates": {"pass_rate": 0.5}}
    return parse_suite(document, "the suite")


def own_seconds(suite: Suite) -> tuple[float, float]:
    """Return the time of a whole run in a new home, and the processor time in it."""
    with tempfile.TemporaryDirectory() as home:
        runs = open_runs(home)
        began, began_cpu = time.perf_counter(), time.process_time()
        id = runs.begin("owner", NewEvalRun(suite=suite, models=["instant"], num_repeats=1)).id
        asyncio.run(execute(runs, runs.open("owner", id), Instant(), num_in_flight=NUM_IN_FLIGHT))
        return time.perf_counter() - began, time.process_time() - began_cpu


def open_runs(home: str) -> EvalRuns:
    """Return the runs of a new home."""
    settings = load_settings({"LLMOS_HOME": home})
    database = open_registry(settings).database
    encryption = open_encryption(settings, database)
    encryption.start()
    return EvalRuns(database, encryption)


def promptfoo_seconds(num_cases: int, folder: Path) -> tuple[float, float]:
    """Return the time and the processor time of promptfoo's command, without its cache and its table."""
    checks = [{"type": "icontains", "value": "plus"}, {"type": "not-icontains", "value": "minus"}]
    tests = [{"vars": {"input": case.input}, "assert": checks} for case in suite_of(num_cases).cases]
    config = folder / f"{num_cases}.json"
    config.write_text(json.dumps({"prompts": ["{{input}}"], "providers": ["echo"], "tests": tests}))
    quiet = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "PROMPTFOO_CONFIG_DIR": str(folder)}
    program = [found] if (found := shutil.which("promptfoo")) else ["npx", "--yes", PROMPTFOO]
    command = [*program, "eval", "-c", str(config), "--no-cache", "--no-table", "--no-progress-bar"]
    began, began_cpu = time.perf_counter(), _children_seconds()
    ran = subprocess.run([*command, "-j", str(NUM_IN_FLIGHT)], env=os.environ | quiet, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"promptfoo failed:\n{ran.stderr[-2000:]}{ran.stdout[-2000:]}")
    return time.perf_counter() - began, _children_seconds() - began_cpu


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def engine_seconds(suite: Suite, model: str, rounds: int) -> tuple[list[float], list[float]]:
    """Return the times of runs, and of the same requests sent by a loop, in turns."""
    settings = load_settings()
    evals, loops = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as home, PipelineAsker(settings) as asker:
        asker.load(model)
        runs = open_runs(home)
        asker.run(lambda: _loop(suite, model, asker))  # Otherwise the first to ask pays for all prompts.
        for _ in range(rounds):
            new = NewEvalRun(suite=suite, models=[model], num_repeats=1)
            opened = runs.open("owner", runs.begin("owner", new).id)
            began = time.perf_counter()
            asker.run(lambda opened=opened: execute(runs, opened, asker, num_in_flight=asker.num_in_flight))
            evals.append(time.perf_counter() - began)
            began = time.perf_counter()
            asker.run(lambda: _loop(suite, model, asker))
            loops.append(time.perf_counter() - began)
    return evals, loops


async def _loop(suite: Suite, model: str, asker: PipelineAsker) -> None:
    answerer, waiting = ModelAnswerer(model, suite, asker), iter(suite.cases)

    async def worker() -> None:
        for case in waiting:
            await answerer.answer(case, 0)

    await asyncio.gather(*(worker() for _ in range(asker.num_in_flight)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model")
    parser.add_argument("--promptfoo", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    suite = suite_of(options.cases)
    figures: dict[str, Any] = {"cases": options.cases, "load": round(os.getloadavg()[0], 1)}
    own, other = [], list[tuple[float, float]]()
    with tempfile.TemporaryDirectory() as folder:
        if options.promptfoo:
            promptfoo_seconds(1, Path(folder))  # Installs it.
        for _ in range(options.rounds):
            own.append(own_seconds(suite))
            if options.promptfoo:
                one, all_ = promptfoo_seconds(1, Path(folder)), promptfoo_seconds(options.cases, Path(folder))
                other.append((all_[0] - one[0], all_[1] - one[1]))
    for name, rounds, cases in (("own", own, options.cases), ("promptfoo", other, options.cases - 1)):
        for unit, seconds in zip(("ms", "cpu_ms"), zip(*rounds, strict=True), strict=False):
            figures[f"{name}_{unit}_a_case"] = 1000 * statistics.median(seconds) / cases
    if options.model:
        evals, loops = engine_seconds(suite, options.model, options.rounds)
        figures["engine_seconds"] = {"eval": statistics.median(evals), "loop": statistics.median(loops)}
        figures["engine_share"] = statistics.median(b / a for a, b in zip(evals, loops, strict=True))
    sys.stdout.write(json.dumps(figures) + "\n" if options.json else "".join(f"{k}: {v}\n" for k, v in figures.items()))


if __name__ == "__main__":
    main()
