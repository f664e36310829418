"""Connections to one read-only SQLite database, in a file that never changes or in memory."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

_MAX_OPEN = 8
_MAX_IN_MEMORY = 2
"""Each has a copy of its own of a database in memory."""

_MAPPED_BYTES = 1 << 30


class Connections:
    """Lends a connection to one thread at a time. Threads beyond the limit wait."""

    def __init__(self, source: Path | bytes) -> None:
        self._source = source
        self._room = threading.BoundedSemaphore(_MAX_OPEN if isinstance(source, Path) else _MAX_IN_MEMORY)
        self._idle: list[sqlite3.Connection] = []
        self._is_closed = False

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection. Raises sqlite3.Error if the database can't be opened."""
        with self._room:
            assert not self._is_closed, "an index is closed by its last user"
            connection = self._idle.pop() if self._idle else self._open()
            try:
                yield connection
            finally:
                self._idle.append(connection)
                if self._is_closed:
                    self.close()

    def close(self) -> None:
        """Close the connections that nobody uses; the others follow when they are given back."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def _open(self) -> sqlite3.Connection:
        if isinstance(self._source, Path):
            address = f"file:{quote(str(self._source.absolute()))}?mode=ro&immutable=1"
            connection = sqlite3.connect(address, uri=True, check_same_thread=False, isolation_level=None)
        else:
            connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
            connection.deserialize(self._source)
        connection.executescript(
            f"PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA mmap_size = {_MAPPED_BYTES}"
        )
        return connection
