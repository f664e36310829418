"""What a model's files say about themselves. The one place where the registry asks the engine anything.

The files are strangers', so that a process of their own reads them (reading.py).
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmos.engine.checkpoint.description import Description
    from llmos.engine.checkpoint.metadata import Metadata
    from llmos.models.versions.reading import Reader, Used


def describe_adapter(files: Mapping[str, Path], adapted: Mapping[str, Path]) -> "Description":
    """Return the same of an adapter, and of the model whose files are `adapted`.

    Raises BadModelFile where they don't fit, and UnsupportedModel for an adapter or a model of another kind.
    """
    # Knowing what the engine's answers are takes numpy and more; a list of models does not need it.
    from llmos.engine.checkpoint.description import Description
    from llmos.models.versions.reading import Question

    return _reader().ask(Question("adapter", _texts(files), _texts(adapted)), Description)


def describe(files: Mapping[str, Path]) -> "Description":
    """Return format, family, size and the like, also of a model that this engine can't run.

    Raises BadModelFile for broken files and UnsupportedModel for pickles.
    """
    from llmos.engine.checkpoint.description import Description
    from llmos.models.versions.reading import Question

    return _reader().ask(Question("description", _texts(files)), Description)


def metadata(files: Mapping[str, Path]) -> "Metadata":
    """Return what the files say key by key, and the chat template. Raises BadModelFile for broken files.

    The files are a store's, which never change: what was read is remembered."""
    return _metadata(tuple(sorted(files.items())))


def used(files: Mapping[str, Path]) -> "Used":
    """Return which of a model's files it uses, and the licence that its README names."""
    from llmos.models.versions.reading import Question, Used

    return _reader().ask(Question("used", _texts(files)), Used)


@lru_cache(maxsize=64)
def _metadata(files: tuple[tuple[str, Path], ...]) -> "Metadata":
    from llmos.engine.checkpoint.metadata import Metadata
    from llmos.models.versions.reading import Question

    return _reader().ask(Question("metadata", _texts(dict(files))), Metadata)


@cache
def _reader() -> "Reader":
    from llmos.models.versions.reading import Reader

    return Reader()


def _texts(files: Mapping[str, Path]) -> dict[str, str]:
    return {name: str(path.absolute()) for name, path in files.items()}
