"""LogFiles: the lines of a server's log as JSON, in files of limited size that several processes may write.

LLMOS_HOME/logs/server.jsonl   the newest lines
                server.1.jsonl the ones before, and so on; the last file goes when a new one begins
"""

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from llmos.core.errors import BadRequest
from llmos.core.schemas.logs import LogPage

NUM_FILES = 5

LEVELS = ("info", "warning", "error")

MAX_LIMIT = 10_000

_PLACE = re.compile(r"(\d{1,20})-(\d{1,20})", re.ASCII)
_encode = msgspec.json.Encoder(enc_hook=str).encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, kw_only=True, slots=True)
class LogFilter:
    """The filters of the lines that are read. Everything that is given must hold."""

    request: str | None = None
    """The id of a request, or of an answer."""
    version: str | None = None
    """Calls that it answered, and the events of its deployment."""
    level: str | None = None
    """This level and the graver ones."""
    since: datetime | None = None
    limit: int = 100
    """The last lines; those after `after`: the first ones."""
    after: str | None = None
    """`next` of the page before: what has come since."""

    def check(self) -> None:
        """Raise BadRequest for a level that there is not, and a limit out of range."""
        if self.level is not None and self.level not in LEVELS:
            raise BadRequest(f"There is no level {self.level[:80]!r}. There are {', '.join(LEVELS)}.", param="level")
        if not 1 <= self.limit <= MAX_LIMIT:
            raise BadRequest(f"`limit` is {self.limit}; it may be 1 to {MAX_LIMIT}.", param="limit")
        if self.after is not None and not _PLACE.fullmatch(self.after):
            raise BadRequest(f"`after` is {self.after[:80]!r}. Send what `next` was in the page before.", param="after")

    def takes(self, line: Mapping[str, Any]) -> bool:
        if self.request is not None and self.request not in (line.get("id"), line.get("request")):
            return False
        if self.version is not None and self.version not in (line.get("version"), line.get("deployment")):
            return False
        if self.level is not None and _rank(line.get("level")) < _rank(self.level):
            return False
        return self.since is None or str(line.get("time")) >= self.since.strftime("%Y-%m-%dT%H:%M:%SZ")


class LogFiles:
    """write() belongs to one thread of a process; any thread may read."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        """`max_bytes`: of all files together."""
        self.folder = folder
        self._path = folder / "server.jsonl"
        self._max_file_bytes = max_bytes // NUM_FILES
        self._file: BinaryIO | None = None

    def write(self, *lines: Mapping[str, Any]) -> None:
        """Append lines. A disk that is full loses lines, and stops nothing."""
        with suppress(OSError):
            file = self._opened()
            file.write(b"".join([_encode(line) + b"\n" for line in lines]))
            if file.tell() > self._max_file_bytes:
                self._rotate(file)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def read(self, wanted: LogFilter) -> LogPage:
        """Return lines, oldest first. Raises BadRequest."""
        wanted.check()
        found: list[dict[str, Any]] = []
        place = (0, 0)
        for inode, end, line in self._lines(wanted):
            place = inode, end
            if line is not None and wanted.takes(line):
                found.append(line)
                if wanted.after is not None and len(found) == wanted.limit:
                    break
        following = f"{place[0]}-{place[1]}" if place[0] else wanted.after
        return LogPage(data=found[-wanted.limit :], next=following)

    def _lines(self, wanted: LogFilter) -> Iterator[tuple[int, int, dict[str, Any] | None]]:
        """Yield each line with its file's inode and the place behind it; None for one that can't be wanted."""
        match = _PLACE.fullmatch(wanted.after or "")
        begin_inode, begin = (int(match[1]), int(match[2])) if match else (0, 0)
        files = self._open_all()
        known = {os.fstat(file.fileno()).st_ino for file in files}
        is_begun = begin_inode not in known  # The file of the place may be gone: all that is left is new.
        for file in files:
            inode = os.fstat(file.fileno()).st_ino
            with file:
                if not is_begun:
                    if inode != begin_inode:
                        continue
                    is_begun = True
                    file.seek(begin)
                yield from self._lines_of(file, inode, wanted)

    @staticmethod
    def _lines_of(file: BinaryIO, inode: int, wanted: LogFilter) -> Iterator[tuple[int, int, dict[str, Any] | None]]:
        end, marks = file.tell(), [text.encode(errors="replace") for text in (wanted.request, wanted.version) if text]
        yield inode, end, None
        for line in file:
            if not line.endswith(b"\n"):
                return  # It is being written.
            end += len(line)
            value: Any = None
            if all(mark in line for mark in marks):
                with suppress(msgspec.DecodeError):
                    value = _decode(line)
            yield inode, end, value if isinstance(value, dict) else None

    def _open_all(self) -> list[BinaryIO]:
        """Open the files, oldest first. One that is renamed meanwhile is there twice, or not at all: try again."""
        files: dict[int, BinaryIO] = {}
        for number in reversed(range(NUM_FILES)):
            with suppress(FileNotFoundError):
                file = self._numbered(number).open("rb")
                if (before := files.pop(os.fstat(file.fileno()).st_ino, None)) is not None:
                    before.close()
                files[os.fstat(file.fileno()).st_ino] = file
        return [*files.values()]

    def _numbered(self, number: int) -> Path:
        return self._path if number == 0 else self.folder / f"server.{number}.jsonl"

    def _opened(self) -> BinaryIO:
        """Return the file of the newest lines: another process may have begun a new one."""
        if self._file is not None:
            with suppress(FileNotFoundError):
                if self._path.stat().st_ino == os.fstat(self._file.fileno()).st_ino:
                    return self._file
            self.close()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._file = open(descriptor, "ab", buffering=0)  # noqa: SIM115
        return self._file

    def _rotate(self, full: BinaryIO) -> None:
        """Begin a new file, unless another process has just done so."""
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._path.stat().st_ino == os.fstat(full.fileno()).st_ino:
                for number in reversed(range(NUM_FILES - 1)):
                    with suppress(FileNotFoundError):
                        self._numbered(number).replace(self._numbered(number + 1))
        self.close()


def _rank(level: Any) -> int:
    return LEVELS.index(level) if level in LEVELS else 0
