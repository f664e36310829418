"""Errors of a database server and of the disk below it, in words that say what to do. The driver's own say "disk I/O
error"."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DatabaseError, OperationalError

from llmos.core.errors import StoreFailed, Unavailable

_FULL, _IO_ERROR, _READ_ONLY, _CANT_OPEN = 13, 10, 8, 14  # SQLite's result codes
_POSTGRESQL_FULL = "53100"  # SQLSTATE disk_full
_POSTGRESQL_UNREACHABLE = ("08", "57P", "53300")
"""SQLSTATEs: connection exceptions, a server that stops or starts, too many connections."""
_NEARLY_FULL_BYTES = 1 << 16

RETRY_SECONDS = 2.0
"""A caller may try again after this time."""


def is_disk_full(error: DatabaseError, path: Path | None) -> bool:
    """Return whether a full disk caused the error. `path`: of a SQLite database, None for another one.

    SQLite reports some failures on a full disk as I/O errors, so the free space decides about those.
    """
    if path is None:
        return getattr(error.orig, "sqlstate", None) == _POSTGRESQL_FULL
    code = _sqlite_code(error)
    return code == _FULL or (code in (_IO_ERROR, _CANT_OPEN) and _free_bytes(path) < _NEARLY_FULL_BYTES)


@contextmanager
def disk_errors(path: Path | None) -> Iterator[None]:
    """Raise StoreFailed for an error of the disk, and Unavailable while a database server can't be reached.

    `path`: of a SQLite database, None for another one.
    """
    try:
        yield
    except DatabaseError as error:
        if is_disk_full(error, path):
            raise disk_full(path) from error
        if path is not None and _sqlite_code(error) in (_IO_ERROR, _READ_ONLY, _CANT_OPEN):
            raise StoreFailed(
                f"The database {path} can't be written: {error.orig}. Check its owner, its permissions and its disk."
            ) from error
        if path is None and _is_unreachable(error):
            raise Unavailable(
                "The database server can't be reached, or takes no connections. Try again soon; the server's log has"
                " the error.",
                retry_after_seconds=RETRY_SECONDS,
            ) from error
        raise


def disk_full(path: Path | None) -> StoreFailed:
    """Return the error for a full disk."""
    if path is None:
        return StoreFailed(
            "The disk of the database server is full, so nothing can be recorded. Free some space on it."
        )
    return StoreFailed(
        f"The disk of {path} is full, so nothing can be recorded. Free some space on it, for example: llmos rm MODEL"
    )


def _is_unreachable(error: DatabaseError) -> bool:
    """Return whether there is no connection to the server: none was made, or it was lost."""
    if not isinstance(error, OperationalError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or state is None or state.startswith(_POSTGRESQL_UNREACHABLE)


def _sqlite_code(error: DatabaseError) -> int | None:
    """Return SQLite's result code, without the bits that say more; None if the driver gives none."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _free_bytes(path: Path) -> int:
    stats = os.statvfs(path.parent)
    return stats.f_bavail * stats.f_frsize
