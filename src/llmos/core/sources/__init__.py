"""Sources of files that models, datasets and documents share: hf:, https:, pypi:, s3:, file:.

Every public module in this package is a kind of source, found by its file name (`hf:…` -> hf.py). What the files are is
not known here: a Selection says which of them are wanted. To add a kind, add a module with one or both of

    def fetch_files(location: str, downloads: Sequence[Download], access: Access, progress: Progress) -> None
    def fetch(location: str, selection: Selection, staging: StagingArea, access: Access, progress: Progress) -> Fetched

`fetch_files` writes files with known digests, as the catalog of models pins them, to their `part` paths. The store
verifies the digests afterwards, not the source. `fetch` fetches the selected files, whose digests aren't known before.
Both raise DownloadFailed with the reason, and may leave partial files: the next attempt starts with them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Protocol, cast

from llmos.core.errors import BadRequest
from llmos.core.progress import Progress
from llmos.core.store.blobs import StoredFile
from llmos.core.store.staging import StagingArea


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
    """The key that other LLMOS servers are sent."""
    api_key_servers: frozenset[str] | None = None
    """The servers that are sent the key, such as https://host:8000; None: every server that somebody names."""
    docker_config: Path | None = None
    """Docker's config.json with the credentials of OCI registries."""

    def headers_for(self, server: str) -> dict[str, str]:
        """Return the headers that bring the key to another LLMOS server; none where it isn't sent the key."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key and self._is_sent_to(server) else {}

    def advice_for(self, server: str) -> str:
        """Return what to do when another LLMOS server refuses the request."""
        advice = "set LLMOS_API_KEY to that server's key"
        if not self._is_sent_to(server):
            advice += f", and LLMOS_API_KEY_SERVERS to {server}, where this server is started"
        return advice

    def _is_sent_to(self, server: str) -> bool:
        return self.api_key_servers is None or server.lower() in self.api_key_servers


class Selection(Protocol):
    """Decides which files of a source are wanted: those of a model, or those of a dataset."""

    @property
    def hub_kind(self) -> str:
        """The kind of the hub's repositories: "models" or "datasets"."""

    def select(self, names: Collection[str], where: str, chosen: str | None = None) -> list[str]:
        """Return which of the files to fetch. Raises BadRequest where one has to be chosen or none fits.

        `names`: all file names, relative to the folder. `where`: the folder's name in messages. `chosen`: the file that
        the location names.
        """

    def find(self, path: Path) -> dict[str, Path]:
        """Return {name: path} of the wanted files at a local path, which is a file or a folder."""

    def archive_folder(self, paths: Sequence[str], chosen: str | None) -> str:
        """Return the folder of an archive that holds the wanted files, as a prefix of paths: "", or "a/b/"."""

    def check_url(self, url: str, name: str) -> None:
        """Raise BadRequest where the single file at a URL, of this name, can't be what is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Files on this machine, not yet in the store's list of blobs."""

    location: str
    """The location, pinned: it gives the same bytes every time."""
    files: Mapping[str, Path]
    license: str | None = None
    record: Mapping[str, Any] | None = None
    """The metadata that another installation has recorded of the files; None if they come from elsewhere."""


FetchFiles = Callable[[str, Sequence[Download], Access, Progress], None]
Fetch = Callable[[str, Selection, StagingArea, Access, Progress], Fetched]


def source_kinds() -> list[str]:
    """Return the known kinds of sources, such as "hf", sorted."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))


def kind_of(location: str, kinds: Collection[str] | None = None) -> str:
    """Return the kind of a location, the part before its first colon. Raises BadRequest for an unknown kind.

    `kinds`: the known kinds; None for those of this package.
    """
    known = source_kinds() if kinds is None else kinds
    kind = location.partition(":")[0]
    if ":" not in location or kind not in known:
        listed = ", ".join(f"{each}:" for each in known)
        raise BadRequest(f"{location!r} is not a source; a source begins with {listed}.")
    return kind


def find_function(location: str, function: str) -> Callable[..., Any] | None:
    """Return a function of the location's source module, None where the module doesn't have it."""
    found = getattr(import_module(f"{__name__}.{kind_of(location)}"), function, None)
    return cast(Callable[..., Any] | None, found)


def fetch(location: str, selection: Selection, staging: StagingArea, access: Access, progress: Progress) -> Fetched:
    """Fetch the selected files at a location. Raises BadRequest, DownloadFailed and what the selection raises."""
    if (function := find_function(location, "fetch")) is None:
        raise BadRequest(f"Nothing can be fetched from {kind_of(location)}: on its own.")
    return cast(Fetch, function)(location, selection, staging, access, progress)
