"""LLMOS_HOME, readable for its owner only: the folder 0700, the database and the keys 0600, mended at every start.

The other folders keep their modes: nobody else reaches them through the home, and a blob of the store may be a hard
link to a file of the user.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from llmos.core.errors import BadRequest, StoreFailed

DATABASE_SUFFIXES = ("", "-wal", "-shm", "-journal", "-reserve")
"""The files of an SQLite database: its own, those that SQLite makes beside it, with the mode of the first, and the
reserve (reserve.py)."""

_OTHERS = 0o077


def make_private_home(home: Path) -> None:
    """Create LLMOS_HOME if it is missing, and take the permissions of everyone but its owner from it.

    Raises BadRequest for a folder that all users share, such as /tmp, and StoreFailed if it can't be created.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailed(
            f"The folder {home} can't be created: {error.strerror}. Choose another LLMOS_HOME."
        ) from error
    if home == home.parent or home.stat().st_mode & stat.S_ISVTX:
        raise BadRequest(
            f"LLMOS_HOME is {home}, which other programs use too. Choose a folder of its own:"
            f" LLMOS_HOME={home / 'llmos'}",
            param="LLMOS_HOME",
        )
    for path in too_open(home):
        _make_private(path)


def make_private_file(path: Path) -> None:
    """Create an empty file with the mode 0600 if it is missing; else take the permissions of others from it."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    _make_private(path)


def too_open(home: Path) -> list[Path]:
    """Return which of these users other than the owner may read or write: the home, the database, and the keys."""
    keys = home / "keys"
    databases = [home / f"llmos.db{suffix}" for suffix in DATABASE_SUFFIXES]
    try:
        return [path for path in (home, *databases, keys, *sorted(keys.glob("*"))) if _is_open(path)]
    except OSError:  # Not this user's home: whoever uses it says so.
        return []


def _is_open(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except FileNotFoundError:  # SQLite removes its side files while others look.
        return False


def _make_private(path: Path) -> None:
    """Take the permissions of others. Other users' files and a read-only disk stay as they are; `doctor` says so."""
    with suppress(FileNotFoundError):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & _OTHERS:
                path.chmod(mode & ~_OTHERS)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES, errno.EROFS):
                raise
