"""LineFile: a file that lines are appended to, encrypted or plain. Knows nothing of what the lines say.

Each append is complete on the disk or is cut off when the file is opened again. In an encrypted file it is one chunk,
and a crash leaves a chunk that doesn't open.
"""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from llmos.core.disk import sync_content, sync_to_disk, write_all
from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.sealed_file import SealedWriter, read_chunks

State = tuple[int, int, int]
"""The plain bytes, the bytes in the file, and the chunks."""


class LineFile:
    """Not for several threads at once."""

    def __init__(self, path: Path, key: DataKey | None) -> None:
        """Open the file, or create it. recover() follows. Raises OSError."""
        self.path, self._key = path, key
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.state: State = (0, 0, 0)

    @property
    def size(self) -> int:
        """The plain bytes."""
        return self.state[0]

    def recover(self, take: Callable[[bytes], bool]) -> None:
        """Give the lines to `take`, one after another, until it refuses one, and cut the rest off. Raises OSError."""
        for lines, state in self._pieces():
            if not all(take(line) for line in lines):
                break
            self.state = state
        self.cut(self.state)
        sync_to_disk(self.path.parent)

    def append(self, data: bytes) -> None:
        """Write complete lines, and return when they are on the disk. Raises OSError."""
        size, end, num_chunks = self.state
        if self._key is None:
            write_all(self._handle, data)
            self.state = (size + len(data), end + len(data), 0)
        else:
            SealedWriter(self._handle, self._key, num_chunks=num_chunks).append(data)
            self.state = (size + len(data), os.fstat(self._handle).st_size, num_chunks + 1)
        sync_content(self._handle)

    def cut(self, state: State) -> None:
        """Remove what was written after the file had this state."""
        os.ftruncate(self._handle, state[1])
        self.state = state

    def finish(self) -> None:
        """Mark the end of an encrypted file. Raises OSError."""
        if self._key is not None:
            SealedWriter(self._handle, self._key, num_chunks=self.state[2]).append(b"", is_last=True)
            sync_content(self._handle)

    def close(self) -> None:
        os.close(self._handle)

    def _pieces(self) -> Iterator[tuple[list[bytes], State]]:
        """Yield what was appended at once, as lines, with the state behind it. A plain file's lines come one by one."""
        size = num_chunks = 0
        with self.path.open("rb") as file:
            if self._key is None:
                for line in file:
                    size += len(line)
                    yield [line], (size, size, 0)
                return
            for content, end, is_last in read_chunks(file, self._key):
                if is_last:  # Its process died between finish() and the end of the batch.
                    return
                size, num_chunks = size + len(content), num_chunks + 1
                yield io.BytesIO(content).readlines(), (size, end, num_chunks)
