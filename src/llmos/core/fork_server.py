"""A process without secrets that forks for each question about untrusted files, so that they can't harm this one.

    ForkServer.ask(question) ── frame ──> serve(answer) in the process      imports what the answers need, once
                    answer   <── frame ──    └── answer() forks             reads the files, with limits: isolation.py

The process reads no file itself. It is started without secrets in its environment, and ends with its parent.
"""

import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import IO

_HEADER_BYTES = 4
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
"""The variables that the process inherits. Keys and tokens are not among them."""


class ForkServer:
    """The parent's side of the process, which is started by the first question. Threads take turns in ask()."""

    def __init__(self, module: str) -> None:
        """`module`: the module that the process runs. It calls serve()."""
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._stop: Callable[[], object] = lambda: None
        """Ends the process. Called too when this object is garbage collected."""
        self._lock = threading.Lock()

    def ask(self, question: bytes) -> bytes:
        """Return the answer. Raises OSError or EOFError where the process can't be started or dies twice."""
        with self._lock:
            try:
                return self._ask(question)
            except (OSError, EOFError):
                self.close()  # The process was killed since the last question.
                return self._ask(question)

    def close(self) -> None:
        """End the process. The next question starts another one."""
        self._process = None
        self._stop()

    def _ask(self, question: bytes) -> bytes:
        if self._process is None:
            self._process = subprocess.Popen(
                # -P: without it, a json.py in the current folder would be imported.
                [sys.executable, "-P", "-m", self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            )
            self._stop = weakref.finalize(self, _stop, self._process)
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None
        assert answers is not None
        _write_frame(questions, question)
        return _read_frame(answers)


def serve(answer: Callable[[bytes], bytes]) -> None:
    """Answer questions on standard input until the parent closes it."""
    # Ctrl-C in a terminal signals the whole process group, but the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError):
        while True:
            _write_frame(sys.stdout.buffer, answer(_read_frame(sys.stdin.buffer)))


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):
            pipe.close()


def _write_frame(stream: IO[bytes], body: bytes) -> None:
    stream.write(len(body).to_bytes(_HEADER_BYTES, "big") + body)
    stream.flush()


def _read_frame(stream: IO[bytes]) -> bytes:
    """Return the next frame's body. Raises EOFError at the end of the stream."""
    head = stream.read(_HEADER_BYTES)
    body = stream.read(int.from_bytes(head, "big"))
    if len(head) < _HEADER_BYTES or len(body) < int.from_bytes(head, "big"):
        raise EOFError
    return body
