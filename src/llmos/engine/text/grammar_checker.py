"""Tries a grammar in a process of its own before the engine accepts it: compiling it may take unbounded time or memory.

    replica    GrammarChecker.check() --- a line of JSON ---> main() of this module    forks for each grammar
                      None or reason <--- a line of JSON ---       `--- the fork       compiles and follows it

The kernel ends a fork that exceeds the limits, and nothing else is affected. A grammar that passes is compiled in the
replica under llguidance's own limits, which count work and miss some of what this check finds.
"""

import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

CPU_SECONDS = 2
MEMORY_BYTES = 1 << 30
WALL_SECONDS = 60.0
"""Limit for a process that gets no CPU time."""

_NUM_BYTES_FOLLOWED = 24
"""Bytes that a check follows the grammar for. A grammar that explodes does so at the first byte of its kind."""


class GrammarChecker:
    """The replica's side. Thread-safe; one check runs at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._kill: Callable[[], object] = lambda: None
        """Kills the process. Also called when this object is garbage-collected."""
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The id of the process, None before the first check."""
        return self._process.pid if self._process is not None else None

    def check(self, source: str) -> str | None:
        """Return what is wrong with a grammar in llguidance's own format, None if it passes."""
        with self._lock:
            for _ in range(2):  # the process may have been killed since the last check
                try:
                    return self._ask(source)
                except (OSError, ValueError):
                    self.close()
        return "it could not be checked within limits"

    def close(self) -> None:
        self._process = None
        self._kill()

    def _ask(self, source: str) -> str | None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "llmos.engine.text.grammar_checker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self._kill = weakref.finalize(self, _kill, self._process)
        requests, replies = self._process.stdin, self._process.stdout
        assert requests is not None
        assert replies is not None
        requests.write(json.dumps(source).encode() + b"\n")
        requests.flush()
        if not select.select([replies], [], [], WALL_SECONDS)[0]:
            raise TimeoutError
        reason: str | None = json.loads(replies.readline())
        return reason


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):
            pipe.close()


def main() -> None:
    """Check grammars from stdin until it is closed."""
    # A Ctrl-C in a terminal reaches the whole process group, but the server decides when a replica ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tokenizer = LLTokenizer("byte", slices=[])
    for line in sys.stdin.buffer:
        sys.stdout.write(json.dumps(_check_in_fork(tokenizer, json.loads(line))) + "\n")
        sys.stdout.flush()


def _check_in_fork(tokenizer: LLTokenizer, source: str) -> str | None:
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            _set_limits()
            os.write(write_end, (_follow(tokenizer, source) or "")[:4000].encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        reason = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if status:
        return f"it takes more than {CPU_SECONDS} seconds or {MEMORY_BYTES >> 20:,} MiB to compile"
    return reason or None


def _set_limits() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    if sys.platform == "linux":  # macOS refuses a limit below what its shared libraries take of the address space
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The exit status says enough; Rust would print a message where memory ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _follow(tokenizer: LLTokenizer, source: str) -> str | None:
    """Compile the grammar and follow it for some bytes, the same ones each time. Return the error, if there is one."""
    matcher = LLMatcher(tokenizer, source, log_level=0, limits=parser_limits())
    rng = random.Random(0)  # noqa: S311  (no secret)
    for _ in range(_NUM_BYTES_FOLLOWED):
        mask = b"" if matcher.is_error() else matcher.compute_bitmask()
        if matcher.is_error():
            return matcher.get_error()
        allowed = [byte for byte in range(256) if mask[byte >> 3] >> (byte & 7) & 1]
        if matcher.is_stopped() or not allowed:
            break
        matcher.consume_token(rng.choice(allowed))
    return matcher.get_error() if matcher.is_error() else None


def parser_limits() -> LLParserLimits:
    """Return llguidance's own limits, which count work. The replica uses the same."""
    return LLParserLimits(verbose_errors=False)


if __name__ == "__main__":
    main()
