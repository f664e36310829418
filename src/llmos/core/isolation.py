"""Runs a function in a forked process with limits that the kernel enforces.

Call it only from a process with a single thread: in a fork, locks that other threads held stay locked forever.
"""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    memory_bytes: int
    """Private memory. Files that the process maps don't count."""
    cpu_seconds: int
    wall_seconds: int
    """Elapsed time, for a process that waits forever."""
    num_files: int
    """Open files."""
    result_bytes: int = 1 << 29
    """Bytes of the result. A fork that returns more has failed."""


class ProcessDied(Exception):
    """The process ended without a result. The message completes a sentence about it: "takes longer than 1 seconds"."""


def run_in_fork(function: Callable[[], bytes], limits: Limits) -> bytes:
    """Return the result of `function`, called in a fork that can't write files or gain privileges.

    Raises ProcessDied where the fork exceeds a limit, crashes or raises.
    """
    reading_end, writing_end = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            _apply(limits)
            with os.fdopen(writing_end, "wb") as pipe:
                pipe.write(function())
            status = 0
        except MemoryError:
            status = 2
        finally:
            os._exit(status)
    os.close(writing_end)
    try:
        with open(reading_end, "rb") as pipe:
            result = pipe.read(limits.result_bytes + 1)
        if len(result) > limits.result_bytes:
            os.kill(child, signal.SIGKILL)
    finally:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if len(result) > limits.result_bytes:
        raise ProcessDied(f"gives more than {limits.result_bytes >> 20:,} MiB")
    if status == 0:
        return result
    raise ProcessDied(_reason(status, limits))


def forbid_opening() -> None:
    """Keep this process from opening any file or socket from now on. What is open stays open.

    A fork calls it when it has read what it needs: code that a hostile file runs then reaches neither files nor a
    network. Modules that are imported later would not be found.
    """
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _reason(status: int, limits: Limits) -> str:
    if status == 2:
        return f"takes more than {limits.memory_bytes >> 20:,} MiB of memory"
    if -status in (signal.SIGXCPU, signal.SIGKILL):
        return f"takes more than {limits.cpu_seconds} seconds of CPU time"
    if -status == signal.SIGALRM:
        return f"takes longer than {limits.wall_seconds} seconds"
    if status < 0:
        return f"crashes ({signal.Signals(-status).name})"
    return f"fails (status {status})"


def _apply(limits: Limits) -> None:
    # The parent's own pipes are none of the fork's: it could answer in the parent's name. Libraries print warnings when
    # memory runs out; the exit status reports that already.
    # This comes before the limit of open files, which a parent with many of them exceeds.
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError):  # The hard limit may be lower already.
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits.num_files, limits.num_files))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_seconds)
