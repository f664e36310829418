"""Reads untrusted model files in a separate process with limits, so that they can't crash, hang or exhaust this one.

ReaderProcess.ask(Question) -> Answer, or an error; llmos.core.fork_server starts the process, which runs main().
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.sealed_path import join_keys, split_keys
from llmos.core.errors import BadModelFile, LLMOSError, error_of_code
from llmos.core.fork_server import ForkServer, serve
from llmos.core.isolation import Limits, ProcessDied, run_in_fork

LIMITS = Limits(memory_bytes=1 << 30, cpu_seconds=30, wall_seconds=300, num_files=256)
_IMPORTED = (
    "llmos.engine.checkpoint.description",
    "llmos.engine.text.tokenizer",
    "llmos.engine.text.tokenizer.sandbox",
)

T = TypeVar("T")


class Question(msgspec.Struct, frozen=True, array_like=True):
    """A request to read files."""

    about: str
    """A key of _READERS."""
    files: dict[str, str]
    """{name: path}"""
    adapted: dict[str, str] = {}
    """{name: path} of the model that an adapter adapts."""
    keys: dict[str, DataKey] = {}
    """{name: key} of encrypted files."""
    adapted_keys: dict[str, DataKey] = {}
    """The same of `adapted`."""

    @classmethod
    def of(cls, about: str, files: Mapping[str, Path], adapted: Mapping[str, Path] | None = None) -> "Question":
        """Raises what SealedPath.key raises."""
        (paths, keys), (adapted_paths, adapted_keys) = split_keys(files), split_keys(adapted or {})
        return cls(about, paths, adapted_paths, keys, adapted_keys)


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The result of a reader, as msgpack."""

    value: msgspec.Raw


class ModelError(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An LLMOSError about the files."""

    code: str
    message: str
    param: str | None


class DiskError(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An OSError: the files could not be read from the disk."""

    errno: int
    strerror: str
    filename: str | None


Reply = Answer | ModelError | DiskError


class KeptFiles(msgspec.Struct, frozen=True):
    """The files of a model that are worth keeping."""

    names: list[str]
    license: str | None
    """The license in the model's README."""


class ReaderProcess:
    """The parent's side of the process, which is started by the first question. Threads take turns in ask()."""

    def __init__(self) -> None:
        self._server = ForkServer("llmos.models.versions.reader_process")
        self._decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)

    def ask(self, question: Question, kind: type[T]) -> T:
        """Return the answer, of the type `kind`.

        Raises the error that reading the files raises, and BadModelFile where reading them crashes or exceeds a limit.
        """
        reply = self._decoder.decode(self._server.ask(msgspec.msgpack.encode(question)))
        match reply:
            case ModelError(code, message, param):
                raise error_of_code(code, message, param=param)
            case DiskError(errno, strerror, filename):
                raise OSError(errno, strerror, filename)
            case Answer(value):
                return msgspec.msgpack.decode(value, type=kind)

    def close(self) -> None:
        """End the process. The next question starts another one."""
        self._server.close()


def main() -> None:
    """Answer questions until the parent closes the pipe."""
    decoder = msgspec.msgpack.Decoder(Question)
    for module in _IMPORTED:
        import_module(module)  # Imported once here instead of in each fork.
    serve(lambda question: _answer_in_fork(decoder.decode(question)))


def _answer_in_fork(question: Question) -> bytes:
    """Return the reply as msgpack."""
    try:
        return run_in_fork(lambda: msgspec.msgpack.encode(_answer(question)), _limits(question))
    except ProcessDied as death:
        names = ", ".join(question.files) if len(question.files) <= 3 else f"{len(question.files)} files"
        message = f"Reading {names} {death}. The files are broken or malicious; nothing of them was kept."
        return msgspec.msgpack.encode(ModelError(BadModelFile.code, message, None))


def _limits(question: Question) -> Limits:
    if question.about != "adapter":
        return LIMITS
    # An adapter's matrices are read as float32, twice the bytes of a 16-bit file. Allow twice as much again.
    num_bytes = sum(os.path.getsize(path) for path in question.files.values() if os.path.isfile(path))
    return replace(LIMITS, memory_bytes=LIMITS.memory_bytes + 4 * num_bytes)


def _answer(question: Question) -> Reply:
    try:
        files = join_keys(question.files, question.keys)
        adapted = join_keys(question.adapted, question.adapted_keys)
        return Answer(msgspec.Raw(msgspec.msgpack.encode(_READERS[question.about](files, adapted))))
    except LLMOSError as error:
        return ModelError(error.code, error.message, error.param)
    except OSError as error:
        return DiskError(error.errno or 0, error.strerror or str(error), error.filename)
    except MemoryError:
        raise
    except Exception as error:
        reason = f"Reading {', '.join(question.files)} fails ({type(error).__name__}: {error}). The files are broken."
        return ModelError(BadModelFile.code, reason, None)


def _describe(files: Mapping[str, Path], adapted: Mapping[str, Path]) -> Any:
    from llmos.engine.checkpoint.description import describe

    return describe(files, with_tokenizer=True)


def _describe_adapter(files: Mapping[str, Path], adapted: Mapping[str, Path]) -> Any:
    from llmos.engine.checkpoint.description import describe_adapter

    return describe_adapter(files, adapted)


def _metadata(files: Mapping[str, Path], adapted: Mapping[str, Path]) -> Any:
    from llmos.engine.checkpoint.metadata import read_metadata

    return read_metadata(files)


def _select_kept(files: Mapping[str, Path], adapted: Mapping[str, Path]) -> Any:
    from llmos.models.model_files import drop_unused_weights, license_from_readme

    return KeptFiles(list(drop_unused_weights(files)), license_from_readme(files))


_READERS: dict[str, Callable[[Mapping[str, Path], Mapping[str, Path]], Any]] = {
    "description": _describe,
    "adapter": _describe_adapter,
    "metadata": _metadata,
    "kept": _select_kept,
}

if __name__ == "__main__":
    main()
