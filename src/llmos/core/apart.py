"""Do something in a process of its own, within limits that the kernel keeps. Knows nothing about what is done.

Call from a process with one thread: what a fork of another one inherits may be locked by a thread that isn't there.
"""

import ctypes
import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    memory_bytes: int
    """Of its own. What it maps of files doesn't count."""
    cpu_seconds: int
    wall_seconds: int
    """For a process that waits for something that never comes."""
    num_files: int
    """Open at once."""


class Died(Exception):
    """The process ended without an answer, for a reason that reads behind "it"."""


def run_apart(do: Callable[[], bytes], limits: Limits) -> bytes:
    """Return what `do` returns in a fork of this process, which can write no file and gain no right.

    Raises Died where the fork took more than the limits allow, or ended otherwise.
    """
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            _limit(limits)
            with os.fdopen(tell, "wb") as pipe:
                pipe.write(do())
            status = 0
        except MemoryError:
            status = 2
        finally:
            os._exit(status)
    os.close(tell)
    try:
        with open(told, "rb") as pipe:
            answer = pipe.read()
    finally:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0:
        return answer
    raise Died(_reason(status, limits))


def _reason(status: int, limits: Limits) -> str:
    if status == 2:
        return f"takes more than {limits.memory_bytes >> 20:,} MiB of memory"
    if -status in (signal.SIGXCPU, signal.SIGKILL):
        return f"takes more than {limits.cpu_seconds} seconds of the processor"
    if -status == signal.SIGALRM:
        return f"takes longer than {limits.wall_seconds} seconds"
    if status < 0:
        return f"crashes ({signal.Signals(-status).name})"
    return f"fails (status {status})"


def _limit(limits: Limits) -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError):  # where the owner allows fewer already
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits.num_files, limits.num_files))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_seconds)
    # What a library says when memory ends is told by the status.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
