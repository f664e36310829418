"""What is done apart can harm nobody: it ends at its limits, and we go on."""

import os
import signal
from pathlib import Path

import pytest

from llmos.core.apart import Died, Limits, run_apart

LIMITS = Limits(memory_bytes=256 << 20, cpu_seconds=60, wall_seconds=60, num_files=32)


def test_what_it_returns_comes_back_whole() -> None:
    assert run_apart(lambda: b"x" * 1_000_000, LIMITS) == b"x" * 1_000_000


def test_a_memory_bomb_ends_alone() -> None:
    with pytest.raises(Died, match="takes more than 256 MiB of memory"):
        run_apart(lambda: bytes(1 << 30), LIMITS)


def test_a_loop_without_an_end_ends_alone() -> None:
    def loop() -> bytes:
        while True:
            pass

    with pytest.raises(Died, match="takes more than 1 seconds of the processor"):
        run_apart(loop, Limits(memory_bytes=256 << 20, cpu_seconds=1, wall_seconds=60, num_files=32))


def test_what_waits_for_ever_ends_alone() -> None:
    def wait() -> bytes:
        signal.pause()
        return b""

    with pytest.raises(Died, match="takes longer than 1 seconds"):
        run_apart(wait, Limits(memory_bytes=256 << 20, cpu_seconds=60, wall_seconds=1, num_files=32))


def test_a_crash_ends_alone() -> None:
    def crash() -> bytes:
        os.kill(os.getpid(), signal.SIGSYS)
        return b""

    with pytest.raises(Died, match=r"crashes \(SIGSYS\)"):
        run_apart(crash, LIMITS)


def test_it_can_write_no_file(tmp_path: Path) -> None:
    def write() -> bytes:
        (tmp_path / "written").write_bytes(b"something")
        return b""

    with pytest.raises(Died):
        run_apart(write, LIMITS)
    assert not (tmp_path / "written").exists() or (tmp_path / "written").read_bytes() == b""


def test_it_can_open_a_few_files_only() -> None:
    def open_many() -> bytes:
        for _ in range(100):
            os.open("/dev/null", os.O_RDONLY)
        return b""

    with pytest.raises(Died):
        run_apart(open_many, LIMITS)
