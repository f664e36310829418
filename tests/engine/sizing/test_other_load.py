"""The load of other processes is what the machine's cores did, without what this process did."""

from pathlib import Path

import pytest

from llmos.engine.sizing.other_load import OtherLoad


class Machine:
    """A machine whose clock and counters a test sets, in seconds."""

    def __init__(self, folder: Path) -> None:
        self.stat = folder / "stat"
        self.now = self.own = 0.0
        self.run(0, 0, 0)

    def run(self, seconds: float, own: float, all: float) -> None:
        """Let time pass in which this process, and all processes, use so much of the cores' time."""
        self.now, self.own = self.now + seconds, self.own + own
        self.busy = getattr(self, "busy", 0.0) + all
        user, steal = round(self.busy * 75), round(self.busy * 25)
        self.stat.write_text(f"cpu  {user} 0 0 123456 99 0 0 {steal} 0 0\ncpu0 1 2 3\n")

    def load(self) -> OtherLoad:
        return OtherLoad(self.stat, lambda: self.own, lambda: self.now)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_this_process_does_does_not_count(machine: Machine) -> None:
    load = machine.load()
    machine.run(4, own=8, all=8)
    assert load.cores() == 0
    machine.run(4, own=4, all=8)
    assert load.cores() == pytest.approx(0.5)


def test_what_was_before_does_not_count(machine: Machine) -> None:
    machine.run(100, own=0, all=200)
    load = machine.load()
    machine.run(2, own=1, all=4)
    assert load.cores() == pytest.approx(1.5)


@pytest.mark.parametrize("text", ["", "cpu", "intr 1 2 3 4 5 6 7 8", "cpu a b c d e f g h"])
def test_where_nothing_is_known_there_is_no_load(machine: Machine, text: str) -> None:
    load = machine.load()
    machine.now += 1
    machine.stat.write_text(text)
    assert load.cores() == 0
    machine.stat.unlink()
    assert load.cores() == 0
