"""Functions in a limited fork: their results come back, and a fork that fails harms only itself."""

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from llmos.core.isolation import Limits, ProcessDied, forbid_opening, run_in_fork

pytestmark = pytest.mark.process

LIMITS = Limits(memory_bytes=1 << 30, cpu_seconds=60, wall_seconds=60, num_files=32)


def test_a_large_result_is_returned_completely() -> None:
    assert run_in_fork(lambda: b"x" * 1_000_000, LIMITS) == b"x" * 1_000_000


def test_a_fork_that_takes_too_much_memory_is_ended() -> None:
    with pytest.raises(ProcessDied, match="takes more than 1,024 MiB of memory"):
        run_in_fork(lambda: bytes(4 << 30), LIMITS)


def test_a_fork_that_computes_too_long_is_ended() -> None:
    def loop() -> bytes:
        while True:
            pass

    with pytest.raises(ProcessDied, match="takes more than 1 seconds of CPU time"):
        run_in_fork(loop, Limits(memory_bytes=1 << 30, cpu_seconds=1, wall_seconds=60, num_files=32))


def test_a_fork_that_waits_too_long_is_ended() -> None:
    def wait() -> bytes:
        signal.pause()
        return b""

    with pytest.raises(ProcessDied, match="takes longer than 1 seconds"):
        run_in_fork(wait, Limits(memory_bytes=1 << 30, cpu_seconds=60, wall_seconds=1, num_files=32))


def test_a_crash_is_reported_with_its_signal() -> None:
    def crash() -> bytes:
        os.kill(os.getpid(), signal.SIGSYS)
        return b""

    with pytest.raises(ProcessDied, match=r"crashes \(SIGSYS\)"):
        run_in_fork(crash, LIMITS)


def test_a_fork_can_write_no_file(tmp_path: Path) -> None:
    def write() -> bytes:
        (tmp_path / "written").write_bytes(b"something")
        return b""

    with pytest.raises(ProcessDied):
        run_in_fork(write, LIMITS)
    assert not (tmp_path / "written").exists() or (tmp_path / "written").read_bytes() == b""


def test_a_fork_can_open_only_a_few_files() -> None:
    def open_many() -> bytes:
        for _ in range(100):
            os.open("/dev/null", os.O_RDONLY)
        return b""

    with pytest.raises(ProcessDied):
        run_in_fork(open_many, LIMITS)


def test_a_parent_with_many_open_files_can_fork() -> None:
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(2 * LIMITS.num_files)]
    try:
        assert run_in_fork(lambda: b"done", LIMITS) == b"done"
    finally:
        for each in held:
            os.close(each)


def test_a_fork_that_returns_too_much_is_ended() -> None:
    with pytest.raises(ProcessDied, match="gives more than 1 MiB"):
        run_in_fork(lambda: bytes(2 << 20), replace(LIMITS, result_bytes=1 << 20))


@pytest.mark.parametrize("opening", [socket.socket, lambda: os.open("/etc/hostname", os.O_RDONLY), os.pipe])
def test_a_fork_can_give_up_opening_files_and_sockets(opening: Callable[[], object]) -> None:
    def attempt() -> bytes:
        forbid_opening()
        try:
            opening()
        except OSError as error:
            return os.strerror(error.errno or 0).encode()
        return b"opened"

    assert run_in_fork(attempt, LIMITS) == b"Too many open files"


def test_a_fork_has_none_of_its_parents_standard_streams() -> None:
    def inspect() -> bytes:
        return b" ".join(os.readlink(f"/proc/self/fd/{number}").encode() for number in range(3))

    assert run_in_fork(inspect, LIMITS) == b"/dev/null /dev/null /dev/null"
