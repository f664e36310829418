"""PendingEntries: entries whose version isn't listed yet. An interrupted attempt leaves them to the next one."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from llmos.data.knowledge import queries
from llmos.data.knowledge.entries import Entry, write_entry
from llmos.data.knowledge.knowledge import ProjectKnowledge
from llmos.data.knowledge.tables import PendingEntryRow
from llmos.data.knowledge.versions import EntryFile, entry_file_of

KEEP = timedelta(days=7)
"""Entries that no attempt went on with for this long are removed."""


class PendingEntries:
    """The entries that are being made for one name. Any thread may use it, but only one process has it at a time."""

    def __init__(self, knowledge: ProjectKnowledge, name: str, scratch: Path) -> None:
        """`scratch`: an empty folder on the store's disk."""
        self._knowledge, self._key = knowledge, knowledge.key(name)
        self.scratch = scratch

    def find(self, entry_key: str) -> EntryFile | None:
        """Return an entry that this attempt, or one before it, has made."""
        with self._knowledge.database.session() as session:
            row = session.get(PendingEntryRow, (self._key, entry_key))
            found = None if row is None else entry_file_of(row)
        return found if found is not None and self._knowledge.store.has(found.blob, found.size) else None

    def add(self, entry_key: str, entry: Entry) -> EntryFile:
        """Put a new entry into the store, where it stays for the next attempt if this one is interrupted."""
        store, path = self._knowledge.store, self.scratch / f"{entry_key}.entry"
        with store.publishing():
            write_entry(path, entry)
            blob, size = store.add(path)
            path.unlink()
            file = EntryFile(blob=blob, size=size, facts=entry.facts)
            with self._knowledge.database.transaction() as session:
                queries.keep_pending(session, self._key, entry_key, file, self._knowledge.clock())
        return file


@contextmanager
def open_pending(
    knowledge: ProjectKnowledge, name: str, on_wait: Callable[[], None] = lambda: None
) -> Iterator[PendingEntries]:
    """Let only this process change a name until the block ends; another one waits (`on_wait` is called once before).

    The entries are forgotten if the block ends without an error: by then a version has those that it needs.
    """
    location = hashlib.sha256(f"knowledge:{knowledge.key(name)}".encode()).hexdigest()
    store, database = knowledge.store, knowledge.database
    with store.locked_incoming(location, on_wait), store.scratch() as scratch:
        with database.transaction(frees_space=True) as session:
            queries.remove_pending_before(session, knowledge.clock() - KEEP)
        yield PendingEntries(knowledge, name, scratch)
        with database.transaction(frees_space=True) as session:
            queries.remove_pending_of(session, knowledge.key(name))
