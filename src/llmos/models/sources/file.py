"""file:///folder: a folder on this machine or on a network drive, for places without any network but their own."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from llmos.core.errors import DownloadFailed
from llmos.models.sources import Access, Gathered, Progress, Wanted
from llmos.models.store import Arrivals
from llmos.models.transfer.importing import files_to_import


def gather(location: str, arrivals: Arrivals, access: Access, progress: Progress) -> Gathered:
    path = Path(url2pathname(urlsplit(location).path))
    return Gathered(location=location, files=files_to_import(path))


def fetch(location: str, wanted: Sequence[Wanted], access: Access, progress: Progress) -> None:
    folder = Path(url2pathname(urlsplit(location).path))
    for one in wanted:
        path = folder / one.path
        progress(one.file.name, 0, one.file.size)
        try:
            num_bytes = path.stat().st_size
            if num_bytes != one.file.size:
                raise DownloadFailed(f"{path} has {num_bytes:,} bytes, but the catalog pins {one.file.size:,}")
            reader = path.open("rb")
        except OSError as error:
            raise DownloadFailed(f"{path} can't be read ({error.strerror})") from None
        with reader, one.part.open("wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
        progress(one.file.name, one.file.size, one.file.size)
