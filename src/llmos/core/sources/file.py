"""file:///folder: a folder on this machine or on a network drive, for sites without internet access."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from llmos.core.errors import DownloadFailed
from llmos.core.progress import Progress
from llmos.core.sources import Access, Download, Fetched, Selection
from llmos.core.store.staging import StagingArea


def fetch(location: str, selection: Selection, staging: StagingArea, access: Access, progress: Progress) -> Fetched:
    """Return the selected files where they are. Nothing is copied here: the store links or copies them."""
    path = Path(url2pathname(urlsplit(location).path))
    return Fetched(location=location, files=selection.find(path))


def fetch_files(location: str, downloads: Sequence[Download], access: Access, progress: Progress) -> None:
    """Copy the files. Raises DownloadFailed for one that is missing or has another size."""
    folder = Path(url2pathname(urlsplit(location).path))
    for download in downloads:
        path, file = folder / download.path, download.file
        progress(file.name, 0, file.size)
        try:
            num_bytes = path.stat().st_size
            if num_bytes != file.size:
                raise DownloadFailed(f"{path} has {num_bytes:,} bytes; the catalog pins {file.size:,}")
            reader = path.open("rb")
        except OSError as error:
            raise DownloadFailed(f"{path} can't be read ({error.strerror})") from None
        with reader, download.part.open("wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
        progress(file.name, file.size, file.size)
