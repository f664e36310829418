"""The process that parses documents. It forks for each; the fork reads one file, and then can open nothing any more.

parsing.py  --- Question: a path, a name, limits --->  main()  forks
            <--- Document, or a Failure -------------    └── parses, with limits of memory, time and size
"""

import hashlib
import pkgutil
from contextlib import suppress
from importlib import import_module
from pathlib import PurePosixPath

import msgspec

from llmos.core.errors import BadDocument
from llmos.core.fork_server import serve
from llmos.core.isolation import Limits, ProcessDied, forbid_opening, run_in_fork
from llmos.data.documents.builder import DocumentBuilder, Source, TooMuchText
from llmos.data.documents.document import Document
from llmos.data.documents.parsers import parsers, recognize
from llmos.data.documents.recognition import refuse_unreadable

_IMPORTED = ("heapq",)
_IMPORTED_WHOLE = ("encodings", "mammoth", "markdown_it", "pypdf", "resiliparse.extract", "resiliparse.parse")
"""The modules that parsers import while they work."""


class Question(msgspec.Struct, frozen=True, array_like=True):
    """A request to parse a file."""

    path: str
    name: str
    """The name that its giver uses. Only its suffix counts."""
    max_bytes: int
    """The most bytes of the file."""
    max_characters: int
    """The most characters of the text."""
    memory_bytes: int
    cpu_seconds: int
    wall_seconds: int


class Parsed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    document: Document


class Failure(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The reason why there is no document: sentences about the file, which begin with "It" or "The"."""

    reason: str


class DiskFailure(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An OSError: the file could not be read from the disk."""

    errno: int
    strerror: str
    filename: str | None


Reply = Parsed | Failure | DiskFailure


def main() -> None:
    """Answer questions until the parent closes the pipe."""
    decoder = msgspec.msgpack.Decoder(Question)
    _import_all()
    serve(lambda question: _answer_in_fork(decoder.decode(question)))


def _import_all() -> None:
    """Import what forks need: they can't open the files of modules any more."""
    parsers()
    for name in _IMPORTED:
        import_module(name)
    for name in _IMPORTED_WHOLE:
        package = import_module(name)
        for each in pkgutil.walk_packages(package.__path__, f"{name}.", onerror=lambda _: None):
            if not each.name.endswith("__main__"):
                with suppress(Exception):  # What needs another package, or another system, isn't used here.
                    import_module(each.name)


def _answer_in_fork(question: Question) -> bytes:
    """Return the reply as msgpack."""
    limits = Limits(
        memory_bytes=question.memory_bytes,
        cpu_seconds=question.cpu_seconds,
        wall_seconds=question.wall_seconds,
        num_files=64,
        result_bytes=8 * question.max_characters,
    )
    try:
        return run_in_fork(lambda: msgspec.msgpack.encode(_answer(question)), limits)
    except ProcessDied as death:
        reason = f"Parsing it {death}. It is too large, broken or malicious."
        return msgspec.msgpack.encode(Failure(reason))


def _answer(question: Question) -> Reply:
    try:
        with open(question.path, "rb") as file:
            content = file.read(question.max_bytes + 1)
    except OSError as error:
        return DiskFailure(error.errno or 0, error.strerror or str(error), error.filename)
    forbid_opening()
    if len(content) > question.max_bytes:
        return Failure(f"It has more than {question.max_bytes >> 20:,} MiB, the limit. Split it.")
    try:
        return Parsed(parse_content(content, question.name, question.max_characters))
    except BadDocument as error:
        return Failure(error.message)
    except TooMuchText:
        return Failure(f"It has more than {question.max_characters:,} characters of text, the limit. Split it.")
    except MemoryError:
        raise
    except RecursionError:
        return Failure("It is nested too deeply. It is broken or malicious.")
    except Exception as error:
        return Failure(f"Parsing it fails ({type(error).__name__}: {str(error)[:300]}). It is broken.")


def parse_content(content: bytes, name: str, max_characters: int) -> Document:
    """Return the document. It runs in this process, without limits: for trusted content, and for tests.

    Raises BadDocument, TooMuchText, and whatever libraries raise for broken files.
    """
    refuse_unreadable(content)
    suffix = PurePosixPath(name).suffix.lower()
    format = recognize(content, suffix)
    builder = DocumentBuilder(max_characters)
    if _claimed_format(suffix) not in (None, format):
        builder.notes.append(f"The name ends in {suffix}, but the content is {format.upper()}, and was read as that.")
    parsers()[format].parse(content, builder)
    if builder.is_empty:
        raise BadDocument("It has no text.")
    return builder.finish(Source(format, hashlib.sha256(content).hexdigest(), len(content)))


def _claimed_format(suffix: str) -> str | None:
    """Return the format that a name claims; None for suffixes that say nothing."""
    names = {
        ".htm": "html",
        ".xhtml": "html",
        ".markdown": "markdown",
        ".md": "markdown",
        ".tsv": "csv",
        ".txt": "text",
    }
    names |= {".xlsm": "xlsx", ".xlsb": "xlsx", ".xls": "xlsx"}
    return names.get(suffix, suffix[1:] if suffix[1:] in parsers() else None)


if __name__ == "__main__":
    main()
