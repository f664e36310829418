"""Facts about a model's files, read by the engine. The only module through which the registry uses the engine.

The files may be hostile, so a separate process reads them: see reader_process.py.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from llmos.core.errors import BadModelFile, NotFound, StoreFailed, UnsupportedModel

if TYPE_CHECKING:
    from llmos.engine.checkpoint.description import Description
    from llmos.engine.checkpoint.metadata import Metadata
    from llmos.models.versions.reader_process import KeptFiles, ReaderProcess

# The imports are inside the functions: the types import numpy, which a list of models doesn't need.


def describe(files: Mapping[str, Path]) -> "Description":
    """Return a model's format, family, size and more, also of a model that this engine can't run. Reads the tokenizer
    and the chat template, too.

    Raises BadModelFile for broken files and UnsupportedModel for pickles.
    """
    from llmos.engine.checkpoint.description import Description
    from llmos.models.versions.reader_process import Question

    return _reader().ask(Question.of("description", files), Description)


def describe_adapter(files: Mapping[str, Path], adapted: Mapping[str, Path]) -> "Description":
    """Return the same for an adapter; `adapted` are the files of the model that it adapts.

    Raises BadModelFile where they don't fit together, and UnsupportedModel for an unsupported adapter or model.
    """
    from llmos.engine.checkpoint.description import Description
    from llmos.models.versions.reader_process import Question

    return _reader().ask(Question.of("adapter", files, adapted), Description)


class Runnability(NamedTuple):
    """Facts about whether the engine can run a model or an adapter."""

    unsupported: str | None
    """Why the engine can't run it. None: it can."""
    warnings: tuple[str, ...] = ()
    """Differences from other models, in sentences."""
    task: str | None = None
    """The model's task: "generate", "embed" or "rerank"."""


def runnability(files: Mapping[str, Path], adapted: Mapping[str, Path]) -> Runnability:
    """Return whether the engine can run a model, or an adapter of the files `adapted`. For a model, both are the same.

    The files must be blobs of a store, which never change: results are cached.
    """
    try:
        return _runnability(tuple(sorted(files.items())), tuple(sorted(adapted.items())))
    except (BadModelFile, UnsupportedModel, StoreFailed, NotFound) as error:
        # It was damaged since it was stored, an older LLMOS stored it, or it is encrypted under a key that is lost.
        return Runnability(error.message)


def read_metadata(files: Mapping[str, Path]) -> "Metadata":
    """Return the metadata in the files, and the chat template. Raises BadModelFile for broken files.

    The files must be blobs of a store, which never change: results are cached.
    """
    return _read_metadata(tuple(sorted(files.items())))


def select_kept_files(files: Mapping[str, Path]) -> "KeptFiles":
    """Return which of a model's files to keep, and the license in its README."""
    from llmos.models.versions.reader_process import KeptFiles, Question

    return _reader().ask(Question.of("kept", files), KeptFiles)


@lru_cache(maxsize=256)
def _runnability(files: tuple[tuple[str, Path], ...], adapted: tuple[tuple[str, Path], ...]) -> Runnability:
    description = describe(dict(files)) if files == adapted else describe_adapter(dict(files), dict(adapted))
    return Runnability(description.unsupported, description.warnings, description.task)


@lru_cache(maxsize=64)
def _read_metadata(files: tuple[tuple[str, Path], ...]) -> "Metadata":
    from llmos.engine.checkpoint.metadata import Metadata
    from llmos.models.versions.reader_process import Question

    return _reader().ask(Question.of("metadata", dict(files)), Metadata)


@cache
def _reader() -> "ReaderProcess":
    from llmos.models.versions.reader_process import ReaderProcess

    return ReaderProcess()
