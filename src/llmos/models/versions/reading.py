"""Strangers' files are read in a process of their own, within limits: what is in them may crash, hang or grow.

    facts ── Reader.ask(Question) ── a frame of msgpack ──> this module's main()      forks for each question
                Answer, or an error <── a frame of msgpack ──      `── the fork       reads the files, within limits

The process has read nothing itself when it forks. It is started without our secrets, and ends with us.
"""

import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from llmos.core.apart import Died, Limits, run_apart
from llmos.core.errors import BadModelFile, LLMOSError, error_of_code
from llmos.engine.replica.framing import HEADER_BYTES, FrameWriter

LIMITS = Limits(memory_bytes=1 << 30, cpu_seconds=30, wall_seconds=300, num_files=256)

_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
"""What the process needs to know; keys and tokens are no part of it."""

T = TypeVar("T")


class Question(msgspec.Struct, frozen=True, array_like=True):
    about: str
    """A name of _READERS."""
    files: dict[str, str]
    adapted: dict[str, str] = {}
    """The model that an adapter changes."""


class Told(msgspec.Struct, frozen=True, array_like=True, tag=True):
    answer: msgspec.Raw


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An LLMOSError, which says what is wrong with the files."""

    code: str
    message: str
    param: str | None


class Unreadable(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An OSError: the files may be what they should be, but the disk doesn't give them."""

    errno: int
    strerror: str
    filename: str | None


class Used(msgspec.Struct, frozen=True):
    """What of a model's files is to be kept."""

    names: list[str]
    license: str | None
    """What its README says."""


class Reader:
    """Our end. Any thread may ask(), one at a time gets its turn."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._end: Callable[[], object] = lambda: None
        """Ends the process; called with the reader's own end, too."""
        self._lock = threading.Lock()
        self._replies: msgspec.msgpack.Decoder[Told | Refused | Unreadable] = msgspec.msgpack.Decoder(
            Told | Refused | Unreadable
        )

    def ask(self, question: Question, kind: type[T]) -> T:
        """Return the answer, which is of the type `kind`. Raises what reading the files here would, and BadModelFile
        where reading them crashes, hangs or grows without end."""
        with self._lock:
            try:
                reply = self._ask(question)
            except (OSError, EOFError):
                self.close()  # ended by somebody since the last time
                reply = self._ask(question)
        match reply:
            case Refused(code, message, param):
                raise error_of_code(code, message, param=param)
            case Unreadable(errno, strerror, filename):
                raise OSError(errno, strerror, filename)
            case Told(answer):
                return msgspec.msgpack.decode(answer, type=kind)

    def close(self) -> None:
        self._process = None
        self._end()

    def _ask(self, question: Question) -> Told | Refused | Unreadable:
        if self._process is None:
            self._process = subprocess.Popen(
                # -P: a file json.py in the folder that we were started in is a stranger's, too.
                [sys.executable, "-P", "-m", "llmos.models.versions.reading"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            )
            self._end = weakref.finalize(self, _end, self._process)
        asked, told = self._process.stdin, self._process.stdout
        assert asked is not None
        assert told is not None
        asked.write(FrameWriter().pack(question))
        asked.flush()
        return self._replies.decode(_frame(told))


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):
            pipe.close()


def _frame(stream: IO[bytes]) -> bytes:
    head = stream.read(HEADER_BYTES)
    body = stream.read(int.from_bytes(head, "big"))
    if len(head) < HEADER_BYTES or len(body) < int.from_bytes(head, "big"):
        raise EOFError
    return body


def main() -> None:
    """Answer questions until the parent closes the pipe."""
    # A terminal's Ctrl-C reaches the whole group; our parent decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    questions, replies = sys.stdin.buffer, sys.stdout.buffer
    decoder = msgspec.msgpack.Decoder(Question)
    import_module("llmos.engine.checkpoint.description")  # what nearly every fork needs, brought by none of them
    with suppress(EOFError):
        while True:
            answer = _answer_apart(decoder.decode(_frame(questions)))
            replies.write(len(answer).to_bytes(HEADER_BYTES, "big") + answer)
            replies.flush()


def _answer_apart(question: Question) -> bytes:
    try:
        return run_apart(lambda: msgspec.msgpack.encode(_answer(question)), _limits(question))
    except Died as death:
        what = ", ".join(question.files) if len(question.files) <= 3 else f"{len(question.files)} files"
        message = f"Reading {what} {death}. The files are broken or hostile; nothing of them was kept."
        return msgspec.msgpack.encode(Refused(BadModelFile.code, message, None))


def _limits(question: Question) -> Limits:
    if question.about != "adapter":
        return LIMITS
    # An adapter's matrices are read, as floats, to see whether they fit: twice what it takes, at two bytes a value.
    num_bytes = sum(os.path.getsize(path) for path in question.files.values() if os.path.isfile(path))
    return replace(LIMITS, memory_bytes=LIMITS.memory_bytes + 4 * num_bytes)


def _answer(question: Question) -> Told | Refused | Unreadable:
    try:
        files = {name: Path(path) for name, path in question.files.items()}
        adapted = {name: Path(path) for name, path in question.adapted.items()}
        return Told(msgspec.Raw(msgspec.msgpack.encode(_READERS[question.about](files, adapted))))
    except LLMOSError as error:
        return Refused(error.code, error.message, error.param)
    except OSError as error:
        return Unreadable(error.errno or 0, error.strerror or str(error), error.filename)
    except MemoryError:
        raise
    except Exception as error:
        reason = f"Reading {', '.join(question.files)} fails ({type(error).__name__}: {error}). The files are broken."
        return Refused(BadModelFile.code, reason, None)


def _describe(files: Mapping[str, Path], adapted: Mapping[str, Path]) -> Any:
    from llmos.engine.checkpoint.description import describe

    return describe(files)


def _describe_adapter(files: Mapping[str, Path], adapted: Mapping[str, Path]) -> Any:
    from llmos.engine.checkpoint.description import describe_adapter

    return describe_adapter(files, adapted)


def _metadata(files: Mapping[str, Path], adapted: Mapping[str, Path]) -> Any:
    from llmos.engine.checkpoint.metadata import read_metadata

    return read_metadata(files)


def _used(files: Mapping[str, Path], adapted: Mapping[str, Path]) -> Any:
    from llmos.models.transfer.importing import license_of, without_duplicate_weights

    return Used(list(without_duplicate_weights(files)), license_of(files))


_READERS: dict[str, Callable[[Mapping[str, Path], Mapping[str, Path]], Any]] = {
    "description": _describe,
    "adapter": _describe_adapter,
    "metadata": _metadata,
    "used": _used,
}

if __name__ == "__main__":
    main()
