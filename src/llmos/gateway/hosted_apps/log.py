"""AppLog: what the process of an application prints, in two files of limited size."""

import asyncio
import os
from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path

MAX_BYTES = 1 << 20
"""A file that is larger becomes the older one, and the one before it goes."""
MAX_LINE_BYTES = 16 << 10
POLL_SECONDS = 0.5


class AppLog:
    """The log of one application, whichever of its processes writes it."""

    def __init__(self, path: Path) -> None:
        self._path, self._older = path, path.with_suffix(".1.log")

    def write(self, line: bytes, at: datetime) -> None:
        """Append a line, with the time before it. A disk that is full loses lines, and stops nothing."""
        text = line[:MAX_LINE_BYTES].rstrip(b"\r\n")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with open(descriptor, "ab") as file:
                file.write(f"{at:%Y-%m-%dT%H:%M:%SZ} ".encode() + text + b"\n")
                is_full = file.tell() > MAX_BYTES
            if is_full:
                self._path.replace(self._older)
        except OSError:
            return

    def tail(self, num_lines: int) -> list[str]:
        """Return the last lines."""
        lines: list[str] = []
        for path in (self._older, self._path):
            try:
                lines += path.read_text(errors="replace").splitlines()
            except OSError:
                continue
        return lines[-num_lines:] if num_lines else []

    async def follow(self, num_lines: int) -> AsyncGenerator[str, None]:
        """Yield the last lines, and then those that come, until closed."""
        offset, inode = self._position()
        for line in self.tail(num_lines):
            yield line
        rest = b""
        while True:
            chunk, offset, inode = self._read_from(offset, inode)
            *complete, rest = (rest + chunk).split(b"\n")
            for each in complete:
                yield each.decode(errors="replace")
            if not chunk:
                await asyncio.sleep(POLL_SECONDS)

    def _position(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return 0, 0
        return found.st_size, found.st_ino

    def _read_from(self, offset: int, inode: int) -> tuple[bytes, int, int]:
        """Return what was added since. A file that was replaced is read to its end first."""
        size, current = self._position()
        path = self._path
        if current != inode:
            if inode and self._older.exists() and self._older.stat().st_ino == inode:
                chunk = _read(self._older, offset)
                if chunk:
                    return chunk, offset + len(chunk), inode
            return b"", 0, current
        chunk = _read(path, offset) if size > offset else b""
        return chunk, offset + len(chunk), inode


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(MAX_BYTES)
    except OSError:
        return b""
