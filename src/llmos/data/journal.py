"""The journal of a batch: its answers so far, in two files of lines, output and errors.

Each input line has a complete line in one of the files, or is not answered yet. Opening the journal of a process that
died continues it: the lines in the files are recorded, and an incomplete last line is cut off. The content of lines is
known only to the `read` function.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from llmos.core.encryption.data_key import DataKey
from llmos.data.files import disk_errors
from llmos.data.line_file import LineFile


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


Keys = tuple[DataKey | None, DataKey | None]
"""The keys of the output file and of the error file."""


@dataclass(slots=True)
class Progress:
    """Counts of the lines answered so far."""

    num_completed: int = 0
    num_failed: int = 0
    usage: Counter[str] = field(default_factory=Counter)


class Journal:
    """The journal of one batch. Blocks on the disk. Any thread may use it."""

    def __init__(self, output: Path, errors: Path, read: Read, keys: Keys = (None, None)) -> None:
        """Open the two files, which may exist. `keys`: of the two; None for a plain file.

        Raises StoreFailed where the disk can't be written.
        """
        self.recorded: set[int] = set()
        """The numbers of the input lines whose answers are on the disk."""
        self.progress = Progress()
        self._writing = threading.Lock()
        self._files: list[LineFile] = []
        self._sizes = (0, 0)
        for is_error, (path, key) in enumerate(zip((output, errors), keys, strict=True)):
            with disk_errors(path):
                file = LineFile(path, key)
                self._files.append(file)
                file.recover(partial(self._recover, bool(is_error), read))
        self._keep_sizes()

    @property
    def sizes(self) -> tuple[int, int]:
        """The plain bytes of the output file and of the error file."""
        return self._sizes

    def write(self, entries: Sequence[Entry]) -> None:
        """Write entries and return when they are on the disk. Skips input lines that are recorded already.

        Raises StoreFailed, and writes none of them, where the disk can't be written. Does nothing after close(): a
        cancelled task may still have a thread in this call.
        """
        with self._writing:
            entries = [entry for entry in entries if self._files and entry.number not in self.recorded]
            before = [file.state for file in self._files]
            try:
                for i, file in enumerate(self._files):
                    data = b"".join(entry.line + b"\n" for entry in entries if entry.is_error == i)
                    if data:
                        with disk_errors(file.path):
                            file.append(data)
            except BaseException:
                for file, state in zip(self._files, before, strict=True):
                    file.cut(state)
                raise
            for entry in entries:
                self._count(entry)
            self._keep_sizes()

    def finish(self) -> None:
        """Mark the end of the files, so that one that is cut off is noticed, and close them."""
        with self._writing:
            for file in self._files:
                with disk_errors(file.path):
                    file.finish()
        self.close()

    def close(self) -> None:
        with self._writing:
            for file in self._files:
                file.close()
            self._files.clear()

    def _keep_sizes(self) -> None:
        if self._files:
            output, errors = self._files
            self._sizes = (output.size, errors.size)

    def _recover(self, is_error: bool, read: Read, line: bytes) -> bool:
        """Count a line of a file. Returns False for one that isn't complete."""
        try:
            entry = read(line, is_error)
        except ValueError:
            return False
        if not line.endswith(b"\n"):
            return False
        self._count(entry)
        return True

    def _count(self, entry: Entry) -> None:
        self.recorded.add(entry.number)
        self.progress.num_completed += not entry.is_error
        self.progress.num_failed += entry.is_error
        self.progress.usage.update(entry.usage)
