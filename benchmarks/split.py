"""A model in two stages, each a process on a core of its own, against the same model whole on one core.

    python benchmarks/split.py [MODEL] [--rounds 3] [--streams 1,32,64] [--tokens 32] [--cut 12] [--first-token]

The speed of a pipeline is that of its busiest stage, so what is compared is the CPU time per token of the busiest
stage with that of the whole model: neighbours on the machine hardly change it. The stages exchange rows over a socket
pair; a network adds its own time to each step, but not to the CPU time of a stage. First tokens are wall time, in
pairs, and need a quiet machine. Both must give the same tokens.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.loading import load
from llmos.engine.messages import Delta, Generate, LoadStage, SamplingParams
from llmos.engine.stages import StageOrder
from model_choice import add_model, files_of

OPTIONS: dict[str, Any] = {"threads": 1, "max_sequences": 64, "kv_bytes": 1 << 28, "prefix_cache": False}
PROMPT = 32
LONG_PROMPT = 1024


class Stage:
    """The process of the second stage, on the second core."""

    def __init__(self) -> None:
        self.connection, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "llmos.engine", "--stage", "--fd", str(theirs.fileno())]
            self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        pin(self.process.pid, -1)

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pin(pid: int, index: int) -> None:
    """Let a process run on one of the cores that this one may use."""
    os.sched_setaffinity(pid, {CORES[index]})


CORES = sorted(os.sched_getaffinity(0))


def load_whole(files: Mapping[str, Path]) -> Engine:
    engine, _ = load(files, EngineConfig(**OPTIONS))
    assert isinstance(engine, Engine)
    return engine


def load_split(files: Mapping[str, Path], cut: int, last: int, stage: Stage) -> Engine:
    paths = {name: str(path) for name, path in files.items()}
    order = LoadStage(node="the second core", first=cut, last=last, files=paths, config=OPTIONS)
    engine, _ = load(files, EngineConfig(**OPTIONS), stages=[StageOrder(stage.connection, order)])
    assert isinstance(engine, Engine)
    return engine


def run(engine: Engine, streams: int, prompt: int, tokens: int) -> tuple[list[list[int]], float]:
    """Return the tokens of each stream, and the seconds to the first of them."""
    params = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)
    for i in range(streams):
        text = [1000 + (i * 7919 + position * 104729) % 20000 for position in range(prompt)]
        engine.submit(Generate(id=f"r{i}", tokens=text, sampling=params))
    found: dict[str, list[int]] = {f"r{i}": [] for i in range(streams)}
    began, first = time.perf_counter(), 0.0
    while engine.has_work:
        for event in engine.step():
            if isinstance(event, Delta):
                first = first or time.perf_counter() - began
                found[event.id] += event.token_ids
    return list(found.values()), first


@contextmanager
def measured(stage: Stage | None, into: list[float], tokens: int) -> Any:
    """Add the CPU seconds per token of home, and of the stage."""
    home, other = time.process_time(), stage.cpu_seconds if stage else 0.0
    yield
    into += [(time.process_time() - home) / tokens, ((stage.cpu_seconds - other) if stage else 0.0) / tokens]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model(parser)
    parser.add_argument("--first-token", action="store_true", help="also compare the first token, by wall time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--streams", default="1,32,64")
    parser.add_argument("--cut", type=int, default=12, help="the first layer of the second stage")
    arguments = parser.parse_args()
    files = files_of(arguments.model)
    pin(0, 0)
    whole, stage = load_whole(files), Stage()
    split = load_split(files, arguments.cut, whole.runner.spec.num_layers - 1, stage)
    table = Table("streams", "whole, ms", "home, ms", "stage, ms", "whole / busiest", "both / whole")
    for streams in map(int, arguments.streams.split(",")):
        table.add_row(str(streams), *compare(whole, split, stage, streams, arguments))
    Console().print(table)
    if arguments.first_token:
        firsts = [(first_token(whole), first_token(split)) for _ in range(arguments.rounds)]
        ratio = statistics.median(one / two for one, two in firsts)
        load = f"wall time, at a load of {os.getloadavg()[0]:.1f}"
        Console().print(f"first token of a prompt of {LONG_PROMPT:,} tokens: {ratio:.2f} times as soon ({load})")
    stage.connection.close()
    stage.process.wait()


def first_token(engine: Engine) -> float:
    """Return the seconds to the first token of a long prompt."""
    return run(engine, 1, LONG_PROMPT, 1)[1]


def compare(whole: Engine, split: Engine, stage: Stage, streams: int, arguments: argparse.Namespace) -> Sequence[str]:
    """Return a row of the table: medians of CPU milliseconds per token, the prompts' included."""
    tokens = arguments.tokens
    rows: list[tuple[float, float, float]] = []
    for _ in range(arguments.rounds):
        one: list[float] = []
        two: list[float] = []
        with measured(None, one, streams * tokens):
            expected, _ = run(whole, streams, PROMPT, tokens)
        with measured(stage, two, streams * tokens):
            found, _ = run(split, streams, PROMPT, tokens)
        assert found == expected, "the split model gives other tokens"
        rows.append((one[0], two[0], two[1]))
    alone, home, other = (statistics.median(column) * 1000 for column in zip(*rows, strict=True))
    busiest = statistics.median(each[0] / max(each[1:]) for each in rows)
    both = statistics.median((each[1] + each[2]) / each[0] for each in rows)
    return f"{alone:.2f}", f"{home:.2f}", f"{other:.2f}", f"{busiest:.2f}", f"{both:.2f}"


if __name__ == "__main__":
    main()
