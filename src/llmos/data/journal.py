"""The journal of a batch: its answers so far, in two files of lines, output and errors.

Each input line has a complete line in one of the files, or is not answered yet. Opening the journal of a process that
died continues it: the lines in the files are recorded, and an incomplete last line is cut off. The content of lines is
known only to the `read` function.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llmos.core.disk import sync_content, sync_to_disk, write_all
from llmos.data.files import disk_errors


@dataclass(frozen=True, slots=True)
class Entry:
    """The answer to one line of the batch's input file."""

    number: int
    """The number of the input line, from 1."""
    line: bytes
    """The line to write, without a line break."""
    is_error: bool
    usage: dict[str, int] = field(default_factory=dict)
    """Tokens by kind."""


Read = Callable[[bytes, bool], Entry]
"""read(line, is_error): parse a line of the output or of the errors. Raises ValueError for an invalid line."""


@dataclass(slots=True)
class Progress:
    """Counts of the lines answered so far."""

    num_completed: int = 0
    num_failed: int = 0
    usage: Counter[str] = field(default_factory=Counter)


class Journal:
    """The journal of one batch. Blocks on the disk. Any thread may use it."""

    def __init__(self, output: Path, errors: Path, read: Read) -> None:
        """Open the two files, which may exist. Raises StoreFailed where the disk can't be written."""
        self.recorded: set[int] = set()
        """The numbers of the input lines whose answers are on the disk."""
        self.progress = Progress()
        self._writing = threading.Lock()
        self._handles: list[int] = []
        self._sizes: list[int] = []
        self._paths = (output, errors)
        for is_error, path in enumerate(self._paths):
            with disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._handles.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
                self._sizes.append(self._recover(path, bool(is_error), read))
                os.ftruncate(self._handles[-1], self._sizes[-1])
                sync_to_disk(path.parent)

    @property
    def sizes(self) -> tuple[int, int]:
        """The bytes of the output file and of the error file."""
        return self._sizes[0], self._sizes[1]

    def write(self, entries: Sequence[Entry]) -> None:
        """Write entries and return when they are on the disk. Skips input lines that are recorded already.

        Raises StoreFailed, and writes none of them, where the disk can't be written. Does nothing after close(): a
        cancelled task may still have a thread in this call.
        """
        with self._writing:
            entries = [entry for entry in entries if self._handles and entry.number not in self.recorded]
            before = list(self._sizes)
            try:
                for i, handle in enumerate(self._handles):
                    data = b"".join(entry.line + b"\n" for entry in entries if entry.is_error == i)
                    if data:
                        with disk_errors(self._paths[i]):
                            write_all(handle, data)
                            sync_content(handle)
                        self._sizes[i] += len(data)
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

    def _recover(self, path: Path, is_error: bool, read: Read) -> int:
        """Count the complete lines of a file, and return their bytes."""
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
        self.recorded.add(entry.number)
        self.progress.num_completed += not entry.is_error
        self.progress.num_failed += entry.is_error
        self.progress.usage.update(entry.usage)
