"""What a batch has answered so far, in two files of lines: the output and the errors.

Each line of the input is in one of them, whole, or has yet to be answered. Whoever opens the journal that a dead
process left goes on where that one stopped: what is in the files is settled, and a torn end is cut off. Knows nothing
of what the lines say; `read` does.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llmos.data.files import disk_errors, make_durable, write_all


@dataclass(frozen=True, slots=True)
class Entry:
    """The answer to one line of the batch's input."""

    number: int
    """The line's, in the input: from 1."""
    line: bytes
    """Without a line break."""
    is_error: bool
    usage: dict[str, int] = field(default_factory=dict)


Read = Callable[[bytes, bool], Entry]
"""Make an entry of a line again, and of whether it is an error. Raises ValueError for what is no such line."""


@dataclass(slots=True)
class Progress:
    num_completed: int = 0
    num_failed: int = 0
    usage: Counter[str] = field(default_factory=Counter)


class Journal:
    """Blocks on the disk. Any thread may call it, several at once."""

    def __init__(self, output: Path, errors: Path, read: Read) -> None:
        """Open the two files, which may be there already. Raises StoreFailed for a disk that says no."""
        self.settled: set[int] = set()
        """The numbers of the lines that are in the files, and on the disk."""
        self.progress = Progress()
        self._writing = threading.Lock()
        self._handles: list[int] = []
        self._sizes: list[int] = []
        for is_error, path in enumerate((output, errors)):
            with disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._handles.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
                self._sizes.append(self._recover(path, bool(is_error), read))
                os.ftruncate(self._handles[-1], self._sizes[-1])
                make_durable(path.parent)

    @property
    def sizes(self) -> tuple[int, int]:
        """The bytes of the output and of the errors."""
        return self._sizes[0], self._sizes[1]

    def write(self, entries: Sequence[Entry]) -> None:
        """Return when the entries are on the disk. Raises StoreFailed, and has written none, where that can't be.

        Leaves out those of lines that are settled, and all of them once it is closed: whoever was cancelled in the
        middle of this call may have a thread still at it.
        """
        with self._writing:
            entries = [entry for entry in entries if self._handles and entry.number not in self.settled]
            before = list(self._sizes)
            try:
                for place, handle in enumerate(self._handles):
                    data = b"".join(entry.line + b"\n" for entry in entries if entry.is_error == place)
                    if data:
                        self._append(handle, data)
                        self._sizes[place] += len(data)
            except BaseException:
                self._sizes = before
                for handle, size in zip(self._handles, before, strict=True):
                    os.ftruncate(handle, size)
                raise
            for entry in entries:
                self._count(entry)

    def close(self) -> None:
        with self._writing:
            for handle in self._handles:
                os.close(handle)
            self._handles.clear()

    def _append(self, handle: int, data: bytes) -> None:
        with disk_errors(Path(os.readlink(f"/proc/self/fd/{handle}"))):
            write_all(handle, data)
            os.fdatasync(handle)

    def _recover(self, path: Path, is_error: bool, read: Read) -> int:
        """Count what is there; return how many bytes of it are whole lines."""
        size = 0
        with path.open("rb") as lines:
            for line in lines:
                try:
                    entry = read(line, is_error)
                except ValueError:
                    break
                if not line.endswith(b"\n"):
                    break
                self._count(entry)
                size += len(line)
        return size

    def _count(self, entry: Entry) -> None:
        self.settled.add(entry.number)
        self.progress.num_completed += not entry.is_error
        self.progress.num_failed += entry.is_error
        self.progress.usage.update(entry.usage)
