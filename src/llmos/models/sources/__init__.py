"""Where models come from.

A kind of source is one module in here, found by its name (`hf:…` -> hf.py), with one or both of

    def fetch(location: str, wanted: Sequence[Wanted], access: Access, progress: Progress) -> None
    def gather(location: str, arrivals: Arrivals, access: Access, progress: Progress) -> Gathered

`fetch` fills every `wanted.part` with a file whose digest the catalog pins. What arrived is verified by the store,
never by a source. `gather` brings the model that lies at a location which no catalog knows. Both raise DownloadFailed,
with the reason, where they can't, and may leave what has arrived in the parts: it is there again at the next attempt.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, cast

from llmos.core.errors import BadRequest
from llmos.models.store import Arrivals, StoredFile

Progress = Callable[[str, int, int | None], None]
"""Told what is being worked on, the bytes done so far, and how many there are in all (None: nobody knows)."""


def no_progress(label: str, num_done: int, num_total: int | None) -> None:
    """The Progress of somebody who doesn't want to know."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file to fetch."""

    file: StoredFile
    path: str
    """Where it lies within the source."""
    part: Path
    """Where its bytes go. May hold the beginning already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a source needs to know of this installation."""

    hf_endpoint: str = "https://huggingface.co"
    hf_token: str | None = None
    api_key: str | None = None
    """Sent to other LLMOS servers."""
    docker_config: Path | None = None
    """Where the credentials of OCI registries are, in docker's own format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """A model that has arrived from a location."""

    location: str
    """What was asked for, pinned: the same location brings the same bytes."""
    files: Mapping[str, Path]
    license: str | None = None
    record: Mapping[str, Any] | None = None
    """What another installation wrote down about the version (see models.records), where it came from one."""


Fetch = Callable[[str, Sequence[Wanted], Access, Progress], None]
Gather = Callable[[str, Arrivals, Access, Progress], Gathered]


def source_kinds() -> list[str]:
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))


def kind_of(location: str) -> str:
    """Return the kind of source that "kind:…" names. Raises BadRequest for one that there is not."""
    kind = location.partition(":")[0]
    if ":" not in location or kind not in source_kinds():
        known = ", ".join(f"{known}:" for known in source_kinds())
        raise BadRequest(f"{location!r} is not a source; one begins with {known}.")
    return kind


def check_location(location: str) -> None:
    """Raise BadRequest for a location that no model can be pulled from."""
    _of(location, "gather", "A model is pulled from")


def fetch(location: str, wanted: Sequence[Wanted], access: Access, progress: Progress) -> None:
    """Fetch the wanted files from a source of any kind that can be pinned."""
    cast(Fetch, _of(location, "fetch", "The catalog takes models from"))(location, wanted, access, progress)


def gather(location: str, arrivals: Arrivals, access: Access, progress: Progress) -> Gathered:
    """Bring the model at a location. Raises BadRequest, DownloadFailed, BadModelFile or UnsupportedModel."""
    return cast(Gather, _of(location, "gather", "A model is pulled from"))(location, arrivals, access, progress)


def _of(location: str, function: str, what: str) -> Callable[..., Any]:
    kind = kind_of(location)
    if (found := getattr(import_module(f"{__name__}.{kind}"), function, None)) is None:
        able = [each for each in source_kinds() if hasattr(import_module(f"{__name__}.{each}"), function)]
        raise BadRequest(f"{what} {', '.join(f'{each}:' for each in able)}, and not from {kind}:.")
    return cast(Callable[..., Any], found)
