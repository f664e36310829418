"""Sources of models: those of core/sources (hf:, https:, pypi:, s3:, file:), and oci: and llmos:, which know models.

Every public module in this package is a kind of source too, found by its file name (`oci:…` -> oci/). That is why the
code that uses sources lives in models/transfer. A kind that needs to know models is a module here with

    def fetch_model(location: str, staging: StagingArea, access: Access, progress: Progress) -> Fetched

Every other kind is a module of core/sources, which says what it contains.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import cast

from llmos.core import sources
from llmos.core.errors import BadRequest
from llmos.core.progress import Progress
from llmos.core.sources import Access, Download, Fetched, FetchFiles
from llmos.core.store.staging import StagingArea
from llmos.models.model_files import MODEL_SELECTION

FetchModel = Callable[[str, StagingArea, Access, Progress], Fetched]


def source_kinds() -> list[str]:
    """Return the known kinds of sources, such as "hf", sorted."""
    return sorted([*sources.source_kinds(), *_own_kinds()])


def kind_of(location: str) -> str:
    """Return the kind of a location, the part before its first colon. Raises BadRequest for an unknown kind."""
    return sources.kind_of(location, source_kinds())


def check_location(location: str) -> None:
    """Raise BadRequest for a location that no model can be pulled from."""
    kind_of(location)


def fetch_files(location: str, downloads: Sequence[Download], access: Access, progress: Progress) -> None:
    """Fetch files with known digests. Raises DownloadFailed, and BadRequest for a source that can't be pinned."""
    kind = kind_of(location)
    function = None if kind in _own_kinds() else sources.find_function(location, "fetch_files")
    if function is None:
        able = [each for each in sources.source_kinds() if sources.find_function(f"{each}:", "fetch_files")]
        raise BadRequest(f"The catalog takes models from {', '.join(f'{each}:' for each in able)}, not from {kind}:.")
    cast(FetchFiles, function)(location, downloads, access, progress)


def fetch_model(location: str, staging: StagingArea, access: Access, progress: Progress) -> Fetched:
    """Fetch the model at a location. Raises BadRequest, DownloadFailed, BadModelFile or UnsupportedModel."""
    kind = kind_of(location)
    if kind not in _own_kinds():
        return sources.fetch(location, MODEL_SELECTION, staging, access, progress)
    function: FetchModel = import_module(f"{__name__}.{kind}").fetch_model
    return function(location, staging, access, progress)


def _own_kinds() -> list[str]:
    return [module.name for module in iter_modules(__path__) if not module.name.startswith("_")]
