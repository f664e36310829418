"""Runs engines in turn, each in a process of its own, and no two of them at once."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engines import Engine
from environments import PLACE
from results import Facts, Rate, Speeds

from llmos.engine.sizing.workloads import WORKLOADS, Timing, Workload, random_prompts

VOCAB_SIZE = 49_152
SECONDS_TO_END = 60


class EngineFailed(Exception):
    """The engine exited before it had answered."""


class Running:
    """The process of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._log = PLACE / "logs" / (re.sub(r"\W+", "_", engine.name) + ".log")
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                engine.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # its workers are in its process group, so that they can be waited for
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def facts(self) -> Facts:
        """Return the engine's facts once it has loaded. Raises EngineFailed."""
        return Facts(**self._receive())

    def ask(self, prompts: Sequence[list[int]], num_output_tokens: int) -> Timing:
        self.send(prompts, num_output_tokens)
        return self.timing()

    def send(self, prompts: Sequence[list[int]], num_output_tokens: int) -> None:
        assert self._process.stdin
        request = json.dumps({"prompts": prompts, "num_output_tokens": num_output_tokens})
        with contextlib.suppress(BrokenPipeError):  # timing() reports why
            print(request, file=self._process.stdin, flush=True)

    def timing(self) -> Timing:
        return Timing(**self._receive())

    def end(self) -> None:
        """Wait until all its processes have exited."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        deadline = time.monotonic() + SECONDS_TO_END
        while self._is_alive():
            if time.monotonic() > deadline:
                os.killpg(self.pid, signal.SIGKILL)
                break
            time.sleep(0.05)
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def _is_alive(self) -> bool:
        self._process.poll()
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _receive(self) -> dict:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            said = self._log.read_text().strip().splitlines()
            reason = said[-1] if said else "It said nothing."
            raise EngineFailed(f"{reason} (status {self._process.wait()}; all of it is in {self._log})")
        return json.loads(line)


@contextmanager
def started(engine: Engine) -> Iterator[Running]:
    """Run an engine that has the machine to itself until the context ends."""
    running = Running(engine)
    try:
        yield running
    finally:
        running.end()


def time_in_turns(
    engines: Sequence[Engine], rounds: int, speeds: Speeds, workloads: Sequence[Workload] = WORKLOADS
) -> Iterator[None]:
    """Add every engine's rates to `speeds`, round by round; yield after each round.

    All engines get the same prompts, and new ones in every round; each round begins with another engine. A peer that
    fails sits out the rest. Raises EngineFailed where one of ours does.
    """
    for round_ in range(rounds):
        first = round_ % len(engines)
        for engine in (*engines[first:], *engines[:first]):
            if engine.name in speeds.failures:
                continue
            print(f"Round {round_ + 1} of {rounds}: {engine.name}", file=sys.stderr, flush=True)
            try:
                facts, rates = one_turn(engine, round_, workloads)
            except EngineFailed as failure:
                if engine.is_ours:
                    raise
                speeds.failures[engine.name] = str(failure)
                print(f"{engine.name} failed: {failure}", file=sys.stderr)
                continue
            speeds.facts[engine.name] = facts
            speeds.rates.extend(rates)
        yield


def one_turn(engine: Engine, round_: int, workloads: Sequence[Workload]) -> tuple[Facts, list[Rate]]:
    rates = []
    with started(engine) as running:
        facts = running.facts()
        running.ask(random_prompts(2, 32, 0, VOCAB_SIZE), 8)
        for workload in workloads:
            prompts = random_prompts(workload.num_prompts, workload.prompt_length, 100 + round_, VOCAB_SIZE)
            rate = workload.tokens_per_second(running.ask(prompts, workload.num_output_tokens))
            rates.append(Rate(engine.name, workload.name, round_, round(rate, 2)))
    return facts, rates


@contextmanager
def busy_processes(num: int) -> Iterator[None]:
    """Let this many processes compute without end meanwhile."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(num)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def script_lines(script: Path, *arguments: str | int | Path) -> list[dict]:
    """Run one of our own scripts alone on the machine; return the JSON objects that it prints, one per line."""
    command = [sys.executable, str(script), *map(str, arguments)]
    print(f"{script.name} …", file=sys.stderr, flush=True)
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]
