"""Memory maps of files."""

import mmap
from pathlib import Path

from llmos.core.errors import BadModelFile


def map_file(path: Path, name: str) -> mmap.mmap:
    """Return a read-only memory map of the whole file, which stays valid after the file is closed.

    Raises BadModelFile, calling the file `name`, if it is missing, empty or unreadable.
    """
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise BadModelFile(f"{name} is empty. Download it again.") from None
    except OSError as error:
        raise BadModelFile(f"{name} cannot be read: {error.strerror or error}.") from None
