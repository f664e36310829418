"""Where the catalog's models come from.

A kind of source is one module in here with one function, found by its name (`hf:…` -> hf.py):

    def fetch(location: str, wanted: Sequence[Wanted], access: Access, progress: Progress) -> None

It fills every `wanted.part` and raises DownloadFailed, with the reason, where it can't. It may leave what has arrived
in the parts: they are there again at the next attempt. What arrived is verified by the store, never by a source.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import cast

from llmos.core.errors import BadRequest
from llmos.models.store import StoredFile

Progress = Callable[[str, int, int | None], None]
"""Told what is being worked on, the bytes done so far, and how many there are in all (None: nobody knows)."""


def silent(label: str, num_done: int, num_total: int | None) -> None:
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


Fetch = Callable[[str, Sequence[Wanted], Access, Progress], None]


def source_kinds() -> list[str]:
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))


def kind_of(location: str) -> str:
    """Return the kind of source that "kind:…" names. Raises BadRequest for one that there is not."""
    kind = location.partition(":")[0]
    if ":" not in location or kind not in source_kinds():
        known = ", ".join(f"{known}:" for known in source_kinds())
        raise BadRequest(f"{location!r} is not a source; one begins with {known}.")
    return kind


def fetch(location: str, wanted: Sequence[Wanted], access: Access, progress: Progress) -> None:
    """Fetch the wanted files from a source of any kind."""
    module = import_module(f"{__name__}.{kind_of(location)}")
    cast(Fetch, module.fetch)(location, wanted, access, progress)
