"""RefusedEntries: entries that the database refuses for what is in them, in files of their own, so that none is lost.

Each is one file, so that any number of processes may add to them and try them again: storing an entry twice adds
nothing (ledger.py).
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from llmos.billing.entries import Entry

_FOLDER = "refused"


class RefusedEntry(msgspec.Struct, frozen=True):
    entry: Entry
    error: str
    """The error message of the database."""


class RefusedEntries:
    """Any thread and any process may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / _FOLDER

    def is_empty(self) -> bool:
        return not self.paths()

    def paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.json"))

    def add(self, entry: Entry, error: str) -> Path:
        """Write an entry to the disk, and return where. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{entry.call_id}.{entry.line}.json"
        temporary = path.with_suffix(".new")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(RefusedEntry(entry, error)))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        return path

    def try_again(self, store: Callable[[Entry], object]) -> int:
        """Store what can be stored now, and return how many are left."""
        paths = self.paths()
        num_left = len(paths)
        for path in paths:
            with suppress(Exception):  # It is still refused, and its file stays.
                store(msgspec.json.decode(path.read_bytes(), type=RefusedEntry).entry)
                path.unlink(missing_ok=True)
                num_left -= 1
        return num_left
