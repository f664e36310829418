"""A grammar is tried in a process of its own before the engine takes it: there it may grow or go on without end.

    replica    GrammarChecker.check(grammar) --- a line of JSON ---> this module's main()   forks for each grammar
                    None, or why not <--- a line of JSON ---       `--- the fork    compiles and walks it, within limits

A fork that takes more time or memory than the limits allow is ended by the kernel, and nobody else notices. What passed
takes no longer in the replica: the library's own limits count work, and what they can't see was seen here.
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
"""For a process that gets no processor."""

_STEPS = 24
"""Bytes that a trial goes on for behind the beginning: what explodes does so at the first of its kind."""


class GrammarChecker:
    """The replica's end. Any thread may check(), one at a time gets its turn."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._end: Callable[[], object] = lambda: None
        """Ends the process; called with the trial's own end, too."""
        self._lock = threading.Lock()

    def check(self, grammar: str) -> str | None:
        """Return what is wrong with a grammar in llguidance's own spelling, None where nothing is."""
        with self._lock:
            for _ in range(2):  # The process may have been ended by somebody else since the last time.
                try:
                    return self._ask(grammar)
                except (OSError, ValueError):
                    self.close()
        return "it could not be tried within limits"

    def close(self) -> None:
        self._process = None
        self._end()

    def _ask(self, grammar: str) -> str | None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "llmos.engine.text.grammar_checker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self._end = weakref.finalize(self, _end, self._process)
        asked, told = self._process.stdin, self._process.stdout
        assert asked is not None
        assert told is not None
        asked.write(json.dumps(grammar).encode() + b"\n")
        asked.flush()
        if not select.select([told], [], [], WALL_SECONDS)[0]:
            raise TimeoutError
        reason: str | None = json.loads(told.readline())
        return reason


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):
            pipe.close()


def main() -> None:
    """Answer grammars until the parent closes the pipe."""
    # A terminal's Ctrl-C reaches the whole group; the server decides when a replica ends, and that ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tokenizer = LLTokenizer("byte", slices=[])
    for line in sys.stdin.buffer:
        sys.stdout.write(json.dumps(_try_apart(tokenizer, json.loads(line))) + "\n")
        sys.stdout.flush()


def _try_apart(tokenizer: LLTokenizer, grammar: str) -> str | None:
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            _limit()
            os.write(tell, (_try(tokenizer, grammar) or "")[:4000].encode())
            status = 0
        finally:
            os._exit(status)
    os.close(tell)
    with open(told, "rb") as pipe:
        reason = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if status:
        return f"it takes more than {CPU_SECONDS} seconds or {MEMORY_BYTES >> 20:,} MiB to compile"
    return reason or None


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What Rust says when memory ends is told by the status.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _try(tokenizer: LLTokenizer, grammar: str) -> str | None:
    """Compile the grammar and follow it for a few bytes, the same ones each time."""
    matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=parser_limits())
    choose = random.Random(0)  # noqa: S311  (no secret)
    for _ in range(_STEPS):
        mask = b"" if matcher.is_error() else matcher.compute_bitmask()
        if matcher.is_error():
            return matcher.get_error()
        allowed = [byte for byte in range(256) if mask[byte >> 3] >> (byte & 7) & 1]
        if matcher.is_stopped() or not allowed:
            break
        matcher.consume_token(choose.choice(allowed))
    return matcher.get_error() if matcher.is_error() else None


def parser_limits() -> LLParserLimits:
    """The library's own limits, which count work: the same here and in the replica."""
    return LLParserLimits(verbose_errors=False)


if __name__ == "__main__":
    main()
