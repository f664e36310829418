"""EntryFolder: where entries are made until their version is listed. An attempt that is interrupted leaves them to the
next one."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from llmos.core.store.staging import open_staging_area
from llmos.core.store.store import Store
from llmos.data.knowledge.entries import Entry, Facts, read_facts, write_entry


class EntryFolder:
    """The entries that are being made for one name. Only one process has it at a time."""

    def __init__(self, scratch: Path, path_of: Callable[[str], Path], *, lasts: bool) -> None:
        """`scratch`: an empty folder. `lasts`: the next attempt finds the entries."""
        self._scratch, self._path_of, self._lasts = scratch, path_of, lasts

    def new_scratch_folder(self, name: str) -> Path:
        """Return a new empty folder, which lasts as long as this object."""
        folder = self._scratch / name
        folder.mkdir()
        return folder

    def path(self, entry_key: str) -> Path:
        return self._path_of(entry_key)

    def find(self, entry_key: str) -> Facts | None:
        """Return what an entry has that is here already, or None."""
        path = self.path(entry_key)
        return read_facts(path) if path.is_file() else None

    def write(self, entry_key: str, entry: Entry) -> None:
        """Write an entry. A killed process leaves it whole or not at all, where a later attempt could find it."""
        if not self._lasts:
            write_entry(self.path(entry_key), entry)
            return
        part = self._scratch / "entry.part"
        write_entry(part, entry)
        os.replace(part, self.path(entry_key))


@contextmanager
def open_entry_folder(store: Store, location: str, on_wait: Callable[[], None] | None = None) -> Iterator[EntryFolder]:
    """Give this process the folder of a location; another process that has it makes this one wait (`on_wait` is called
    once before). The folder is emptied if the block ends without an error.

    A store that encrypts keeps nothing for the next attempt: the key of the files is in memory only.
    """
    with open_staging_area(store, location, on_wait) as area:
        if store.encrypts():
            with store.scratch() as folder:
                yield EntryFolder(area.scratch_folder(), folder.__truediv__, lasts=False)
        else:
            yield EntryFolder(area.scratch_folder(), area.part_path, lasts=True)
        area.clear()
