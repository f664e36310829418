"""Compare LLMOS with its peers in one run: python benchmarks/peers/compare.py [--write]

Installs each peer into an environment of its own under build/peers (minutes, once), measures, and prints the page that
--write puts into docs/benchmarks.md. What was measured is kept in build/peers/results.json, part by part:

    --only limits,small     measure these parts again, keep what is there of the others
    --only page             measure nothing

    limits        what the machine can do
    small         the speed of SmolLM2-135M
    regions       where the time of a step goes
    first_token   from process start to the first token
    memory        resident while serving 8 streams
    http          the server against the engine in process
    prefix        what the prefix cache is worth
    speculation   what prompt lookup is worth
    contention    the speed beside other processes that compute
    paths         the speed of SmolLM2-135M on lesser instruction sets, beside OpenVINO held to the same
    large         the speed of a model ten times as large: most of the time goes here
    large_memory  resident while serving 8 streams with it, in Q4_K_M
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from engines import Engine, engines_for, path_engines
from environments import PLACE, ROOT, Environments
from first_token import first_token_seconds
from forms import Model, large_model, small_model
from goals import K_QUANTS
from limits import probe_limits
from machine import commit, describe_machine
from memory import memory_while_serving
from page import NAMES, TITLES, write_page
from plot import draw
from rates import Rates
from results import (
    OverHTTP,
    Rate,
    Regions,
    Results,
    Section,
    SharedPrefix,
    Speculation,
    Speeds,
    load_results,
    save_results,
)
from turns import busy_processes, one_turn, script_lines, time_in_turns

from llmos.engine.sizing.workloads import WORKLOADS, Workload

RESULTS = PLACE / "results.json"
SCRIPTS = ROOT / "benchmarks"
NOTES = SCRIPTS / "notes.md"
"""The hand-written end of the page: obstacles to the goals, and what was tried."""
DOCS = ROOT / "docs"
CONTENDERS = ("LLMOS Q4_1", "llama.cpp Q4_1")
NUMS_BUSY = (0, 1, 3)
"""The numbers of other processes that compute while an engine is timed."""


@dataclass(frozen=True)
class Run:
    """The inputs of every part."""

    results: Results
    environments: Environments
    threads: int
    rounds: int
    large_rounds: int
    without: tuple[str, ...]
    is_quick: bool

    @property
    def workloads(self) -> list[Workload]:
        if not self.is_quick:
            return list(WORKLOADS)
        return [
            replace(each, prompt_length=min(each.prompt_length, 16), num_output_tokens=min(each.num_output_tokens, 3))
            for each in WORKLOADS
        ]

    def save(self) -> None:
        if not self.is_quick:
            save_results(self.results, RESULTS)

    def small(self) -> Model:
        return small_model(self.environments)


def limits(run: Run) -> None:
    run.results.limits = probe_limits(run.threads)


def small(run: Run) -> None:
    run.results.speeds["small"] = speeds = Speeds(shape=run.small().shape())
    time_all(engines_for(run.small(), run.environments, run.threads, run.without), speeds, run, run.rounds)


def paths(run: Run) -> None:
    run.results.on_paths = speeds = Speeds(shape=run.small().shape())
    time_all(path_engines(run.small(), run.environments, run.threads, run.without), speeds, run, run.rounds)


def large(run: Run) -> None:
    model = large_model(run.environments)
    run.results.speeds["large"] = speeds = Speeds(shape=model.shape())
    time_all(engines_for(model, run.environments, run.threads, run.without), speeds, run, run.large_rounds)


def large_memory(run: Run) -> None:
    model = large_model(run.environments)
    run.results.large_memory = memory_while_serving(model, run.environments, run.threads, (K_QUANTS,))


def time_all(engines: list[Engine], speeds: Speeds, run: Run, rounds: int) -> None:
    for _ in time_in_turns(engines, rounds, speeds, run.workloads):
        run.save()


def regions(run: Run) -> None:
    found = our_script("regions.py", run)
    run.results.regions = msgspec.convert(found, dict[str, Regions])


def first_token(run: Run) -> None:
    run.results.first_token = first_token_seconds(run.small(), run.environments, run.threads, 1 if run.is_quick else 7)


def memory(run: Run) -> None:
    run.results.memory = memory_while_serving(run.small(), run.environments, run.threads)


def http(run: Run) -> None:
    run.results.over_http = msgspec.convert(
        our_script("over_http.py", run, "--rounds", 1 if run.is_quick else 3), OverHTTP
    )


def prefix(run: Run) -> None:
    run.results.shared_prefix = msgspec.convert(our_script("shared_prefix.py", run), SharedPrefix)


def speculation(run: Run) -> None:
    lines = script_lines(SCRIPTS / "speculation.py", "--threads", run.threads, "--rounds", run.rounds, "--json")
    run.results.speculation = msgspec.convert(lines, list[Speculation])


def contention(run: Run) -> None:
    """Time LLMOS and llama.cpp beside busy processes: in each round, every number of them for every engine."""
    engines = [
        engine
        for engine in engines_for(run.small(), run.environments, run.threads, run.without)
        if engine.name in CONTENDERS
    ]
    workloads = [each for each in run.workloads if each.name in ("decode_1", "decode_8")]
    rates: dict[int, list[Rate]] = {num: [] for num in NUMS_BUSY}
    for round_ in range(run.rounds):
        for num_busy in NUMS_BUSY:
            for engine in engines if round_ % 2 == 0 else reversed(engines):
                print(f"Round {round_ + 1}: {engine.name} beside {num_busy}", file=sys.stderr, flush=True)
                with busy_processes(num_busy):
                    rates[num_busy] += one_turn(engine, round_, workloads)[1]
        run.results.contention = rates  # a peer's turn may take minutes: what is measured is kept
        run.save()


def our_script(name: str, run: Run, *options: str | int) -> dict:
    """Run one of our scripts on SmolLM2 in Q4_1; return the JSON object that it prints."""
    (result,) = script_lines(SCRIPTS / name, run.small().gguf("Q4_1"), "--threads", run.threads, "--json", *options)
    return result


PARTS: dict[str, Callable[[Run], None]] = {
    part.__name__: part
    for part in (
        limits,
        small,
        regions,
        first_token,
        memory,
        http,
        prefix,
        speculation,
        contention,
        paths,
        large,
        large_memory,
    )
}


def main() -> None:
    args = parse_arguments()
    results = load_results(RESULTS) if args.only and not args.quick else Results()
    results.threads, results.machine = args.threads, describe_machine()
    rounds, large_rounds = (1, 1) if args.quick else (args.rounds, args.large_rounds)
    run = Run(results, Environments(), args.threads, rounds, large_rounds, tuple(args.without), args.quick)
    for name in args.only or PARTS:
        if name in PARTS:
            PARTS[name](run)
            today = datetime.now(UTC).date().isoformat()
            results.sections[name] = Section(date=today, commit=commit())
            run.save()
    page = write_page(results, NOTES.read_text() if NOTES.exists() else "")
    print(page)
    if args.write and not args.quick:
        write(results, page)


def write(results: Results, page: str, folder: Path = DOCS) -> None:
    (folder / "benchmarks.md").write_text(page)
    if "small" in results.speeds:
        title = f"{TITLES['small']}: tokens per second"
        (folder / "benchmarks.svg").write_text(draw(Rates(results.speeds["small"].rates), NAMES, title))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large-rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--without", type=words, default=[], help="leave engines out, such as vllm,avx2")
    parser.add_argument("--only", type=words, default=[], help="measure these parts only, or page for none")
    parser.add_argument(
        "--quick", action="store_true", help="one round of few tokens, to check that everything runs; writes nothing"
    )
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and docs/benchmarks.svg")
    args = parser.parse_args()
    if unknown := [name for name in args.only if name not in (*PARTS, "page")]:
        parser.error(f"There is no part {unknown[0]}; there are {', '.join(PARTS)}, page.")
    return args


def words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


if __name__ == "__main__":
    main()
