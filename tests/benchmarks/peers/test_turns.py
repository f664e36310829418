"""Engines take turns: a real process each, with an engine in it that computes nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import turns
from engines import Engine
from results import Rate, Shape, Speeds
from turns import EngineFailed, started, time_in_turns

from llmos.engine.sizing.workloads import WORKLOADS

pytestmark = pytest.mark.process

ENGINE = """
import sys
sys.path.insert(0, {folder!r})
from protocol import serve
journal = open({journal!r}, "a", buffering=1)
def load():
    print("engines print as they like")
    journal.write("{name} starts\\n")
    return run, {{"version": "{name} 1"}}
def run(prompts, num_output_tokens):
    {fault}
    return 2.0, 1.0
serve(load)
journal.write("{name} ends\\n")
"""


class Fakes:
    def __init__(self, folder: Path) -> None:
        self.folder, self.journal = folder, folder / "journal"
        self.journal.touch()

    def engine(self, name: str, *, fault: str = "pass", is_ours: bool = False) -> Engine:
        script = self.folder / f"{name}.py"
        text = ENGINE.format(folder=str(Path(turns.__file__).parent), journal=str(self.journal), name=name, fault=fault)
        script.write_text(text)
        return Engine(name, (sys.executable, str(script)), is_ours)

    def told(self) -> list[str]:
        return self.journal.read_text().splitlines()


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fakes]:
    monkeypatch.setattr(turns, "PLACE", tmp_path)
    return Fakes(tmp_path)


def no_speeds() -> Speeds:
    return Speeds(Shape(1, 1, True))


def run_all(engines: list[Engine], rounds: int, speeds: Speeds) -> None:
    for _ in time_in_turns(engines, rounds, speeds):
        pass


def test_no_two_engines_run_at_once_and_each_round_begins_with_another(fakes: Fakes) -> None:
    run_all([fakes.engine("a"), fakes.engine("b")], 2, no_speeds())
    order = ["a", "b", "b", "a"]
    assert fakes.told() == [line for name in order for line in (f"{name} starts", f"{name} ends")]


def test_every_workload_has_a_rate_in_every_round(fakes: Fakes) -> None:
    speeds = no_speeds()
    run_all([fakes.engine("a")], 2, speeds)
    assert [(rate.workload, rate.round) for rate in speeds.rates] == [(w.name, r) for r in range(2) for w in WORKLOADS]
    assert speeds.rates[0] == Rate("a", "prefill_512", 0, 256.0)
    assert speeds.facts["a"].version == "a 1"


def test_a_peer_that_fails_sits_out_the_rest_and_its_reason_is_kept(fakes: Fakes) -> None:
    speeds = no_speeds()
    run_all([fakes.engine("bad", fault='sys.exit("too little memory")'), fakes.engine("good")], 2, speeds)
    assert "too little memory" in speeds.failures["bad"]
    assert {rate.engine for rate in speeds.rates} == {"good"}
    assert fakes.told().count("bad starts") == 1


def test_a_failure_of_our_own_ends_the_run(fakes: Fakes) -> None:
    with pytest.raises(EngineFailed, match="a bug"):
        run_all([fakes.engine("ours", fault='sys.exit("a bug")', is_ours=True)], 2, no_speeds())


def test_workers_that_outlive_their_engine_are_ended_with_its_turn(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SECONDS_TO_END", 0)
    # The worker holds the write end of a pipe: when no process has it any more, reading finds the end.
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    worker = f'import subprocess; subprocess.Popen(["sleep", "600"], pass_fds=[{write_end}])'
    monkeypatch.setattr(turns.subprocess, "Popen", partial(subprocess.Popen, pass_fds=[write_end]))
    with started(fakes.engine("leaver", fault=worker)) as running:
        running.facts()
        running.ask([[1]], 1)
        os.close(write_end)
    assert os.read(read_end, 1) == b""
    os.close(read_end)
