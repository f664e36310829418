"""Parses documents in a process apart, with limits. Whatever a file does there becomes one message here."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from llmos.core.errors import BadDocument, BadRequest, Unavailable
from llmos.core.fork_server import ForkServer
from llmos.data.documents.document import Document

if TYPE_CHECKING:
    from llmos.data.documents.parser_process import Reply

_PACKAGES = ("mammoth", "markdown_it", "pypdf", "python_calamine", "resiliparse")


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentLimits:
    file_bytes: int = 128 << 20
    text_characters: int = 16 << 20
    memory_bytes: int = 1 << 30
    """The most memory of the process that parses. A file and its text are in memory, some of them several times."""
    cpu_seconds: int = 60
    wall_seconds: int = 120


def parse_document(path: Path, name: str | None = None, limits: DocumentLimits | None = None) -> Document:
    """Return the document in a file. `name`: what it is called, if not as its path.

    Raises BadDocument, whose message names it, for a file that is encrypted, scanned, broken, hostile, larger than the
    limits, or in no known format; OSError where it can't be read from the disk.
    """
    from llmos.data.documents.parser_process import DiskFailure, Failure, Question

    name, limits = name or path.name, limits or DocumentLimits()
    question = Question(
        path=str(path.absolute()),
        name=name,
        max_bytes=limits.file_bytes,
        max_characters=limits.text_characters,
        memory_bytes=limits.memory_bytes,
        cpu_seconds=limits.cpu_seconds,
        wall_seconds=limits.wall_seconds,
    )
    match _ask(msgspec.msgpack.encode(question)):
        case Failure(reason):
            raise BadDocument(f"{name} can't be read. {reason}", param="path")
        case DiskFailure(errno, strerror, filename):
            raise OSError(errno, strerror, filename)
        case parsed:
            return parsed.document


def _ask(question: bytes) -> "Reply":
    from llmos.data.documents.parser_process import Reply

    with _server() as server:
        try:
            answer = server.ask(question)
        except (OSError, EOFError) as error:
            raise Unavailable(f"The process that parses documents doesn't run: {error or 'it ended'}.") from None
    return msgspec.msgpack.decode(answer, type=Reply)  # type: ignore[no-any-return]


_idle: list[ForkServer] = []
"""At most _MAX_IDLE: a document that takes long makes no other one wait, and a folder of documents starts few."""

_MAX_IDLE = 4
_lock = threading.Lock()


@contextmanager
def _server() -> Iterator[ForkServer]:
    """Lend a process that no other thread uses."""
    with _lock:
        server = _idle.pop() if _idle else None
    server = server or ForkServer("llmos.data.documents.parser_process")
    try:
        yield server
    finally:
        with _lock:
            if len(_idle) < _MAX_IDLE:
                _idle.append(server)
                server = None
        if server is not None:
            server.close()


def check_installed() -> None:
    """Raise BadRequest where the packages that parse documents aren't installed."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise BadRequest("Documents need other packages: pip install 'llmos[data]'")
