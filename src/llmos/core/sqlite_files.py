"""The files of SQLite databases: their paths, their permissions, and copies of those that can't be written."""

import os
import shutil
import tempfile
import weakref
from pathlib import Path

from sqlalchemy.engine import URL

from llmos.core.errors import StoreFailed
from llmos.core.home import DATABASE_SUFFIXES, make_private_file


def sqlite_path(url: URL) -> Path | None:
    """Return the path of a SQLite database's file, None for another database."""
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(str(url.database)) if is_file else None


def is_read_only(path: Path) -> bool:
    """Return whether the database exists and can be read, but not written. SQLite writes beside it, too."""
    return os.access(path, os.R_OK) and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def copy_to_scratch(owner: object, path: Path) -> Path:
    """Copy a database into a temporary folder that lasts as long as `owner`, and return the path of the copy.

    SQLite can't read a database in a folder that it can't write to, unless nothing was left in the log beside it.
    """
    folder = Path(tempfile.mkdtemp(prefix="llmos-"))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    for name in (path.name, f"{path.name}-wal"):
        if (source := path.with_name(name)).exists():
            shutil.copyfile(source, folder / name)
    return folder / path.name


def make_private(path: Path) -> None:
    """Create the file of an SQLite database, or take the permissions of others from its files."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailed(
            f"The folder {path.parent} can't be created: {error.strerror}. Choose another LLMOS_HOME."
        ) from error
    try:
        for suffix in DATABASE_SUFFIXES:
            file = path.with_name(path.name + suffix)
            if not suffix or file.exists():
                make_private_file(file)
    except OSError:
        return  # Opening the database says what is wrong with it.
