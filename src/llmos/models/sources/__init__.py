"""Sources of models: hf:, https:, pypi:, s3:, oci:, file:, llmos:.

Every public module in this package is a kind of source, found by its file name (`hf:…` -> hf.py). That is why the code
that uses sources lives in models/transfer. To add a kind, add a module with one or both of

    def fetch_files(location: str, downloads: Sequence[Download], access: Access, progress: Progress) -> None
    def fetch_model(location: str, staging: StagingArea, access: Access, progress: Progress) -> FetchedModel

`fetch_files` writes files with known digests, as the catalog pins them, to their `part` paths. The store verifies the
digests afterwards, not the source. `fetch_model` fetches a model that is in no catalog. Both raise DownloadFailed with
the reason, and may leave partial files: the next attempt starts with them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, cast

from llmos.core.errors import BadRequest
from llmos.core.progress import Progress
from llmos.models.staging import StagingArea
from llmos.models.store import StoredFile


@dataclass(frozen=True, slots=True)
class Download:
    """One file to fetch whose digest is known."""

    file: StoredFile
    path: str
    """The file's path within the source."""
    part: Path
    """The local path to write to. The file may hold the first bytes already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Endpoints and credentials of this installation for sources."""

    hf_endpoint: str = "https://huggingface.co"
    hf_token: str | None = None
    api_key: str | None = None
    """Sent to other LLMOS servers."""
    docker_config: Path | None = None
    """Docker's config.json with the credentials of OCI registries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedModel:
    """A model's files on this machine, not yet in the store's list of blobs."""

    location: str
    """The location, pinned: it gives the same bytes every time."""
    files: Mapping[str, Path]
    license: str | None = None
    record: Mapping[str, Any] | None = None
    """The version's record (see versions.records) where the model comes from another installation, else None."""


FetchFiles = Callable[[str, Sequence[Download], Access, Progress], None]
FetchModel = Callable[[str, StagingArea, Access, Progress], FetchedModel]


def source_kinds() -> list[str]:
    """Return the known kinds of sources, such as "hf", sorted."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))


def kind_of(location: str) -> str:
    """Return the kind of a location, the part before its first colon. Raises BadRequest for an unknown kind."""
    kind = location.partition(":")[0]
    if ":" not in location or kind not in source_kinds():
        known = ", ".join(f"{known}:" for known in source_kinds())
        raise BadRequest(f"{location!r} is not a source; a source begins with {known}.")
    return kind


def check_location(location: str) -> None:
    """Raise BadRequest for a location that no model can be pulled from."""
    _find(location, "fetch_model", "Models are pulled from")


def fetch_files(location: str, downloads: Sequence[Download], access: Access, progress: Progress) -> None:
    """Fetch files with known digests. Raises DownloadFailed, and BadRequest for a source that can't be pinned."""
    cast(FetchFiles, _find(location, "fetch_files", "The catalog takes models from"))(
        location, downloads, access, progress
    )


def fetch_model(location: str, staging: StagingArea, access: Access, progress: Progress) -> FetchedModel:
    """Fetch the model at a location. Raises BadRequest, DownloadFailed, BadModelFile or UnsupportedModel."""
    return cast(FetchModel, _find(location, "fetch_model", "Models are pulled from"))(
        location, staging, access, progress
    )


def _find(location: str, function: str, purpose: str) -> Callable[..., Any]:
    """Return a function of the location's source module. Raises BadRequest where the module doesn't have it."""
    kind = kind_of(location)
    if (found := getattr(import_module(f"{__name__}.{kind}"), function, None)) is None:
        able = [each for each in source_kinds() if hasattr(import_module(f"{__name__}.{each}"), function)]
        raise BadRequest(f"{purpose} {', '.join(f'{each}:' for each in able)}, not from {kind}:.")
    return cast(Callable[..., Any], found)
