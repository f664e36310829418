"""What a model's files say about themselves. The one place where the registry asks the engine anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmos.engine.description import Description
    from llmos.engine.metadata import Metadata


def describe_adapter(files: Mapping[str, Path], adapted: Mapping[str, Path]) -> "Description":
    """Return the same of an adapter, and of the model whose files are `adapted`.

    Raises BadModelFile where they don't fit, and UnsupportedModel for an adapter or a model of another kind.
    """
    from llmos.engine.description import describe_adapter as describe_adapter_files

    return describe_adapter_files(files, adapted)


def describe(files: Mapping[str, Path]) -> "Description":
    """Return format, family, size and the like, also of a model that this engine can't run.

    Raises BadModelFile for broken files and UnsupportedModel for pickles.
    """
    # Reading models takes numpy and more; a list of them does not need it.
    from llmos.engine.description import describe as describe_files

    return describe_files(files)


def metadata(files: Mapping[str, Path]) -> "Metadata":
    """Return what the files say key by key, and the chat template. Raises BadModelFile for broken files."""
    from llmos.engine.metadata import read_metadata

    return read_metadata(files)
