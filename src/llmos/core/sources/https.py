"""https://host/folder: a folder that holds files whose digests are known.

https://host/model.gguf is one file whose digest isn't. #sha256=… at the end pins its bytes.
"""

import re
from collections.abc import Sequence
from urllib.parse import quote, unquote, urlsplit

import httpx

from llmos.core.byte_progress import report_bytes
from llmos.core.errors import BadModelFile, BadRequest
from llmos.core.names import check_file_name
from llmos.core.progress import Progress
from llmos.core.sources import Access, Download, Fetched, Selection
from llmos.core.sources._download import TIMEOUT, HttpDownload, get_size, partial_size
from llmos.core.store.blob_files import digest_of
from llmos.core.store.staging import StagingArea

_HINT = "download the file yourself, and import it"
_PIN = re.compile(r"sha256=[0-9a-f]{64}")


def fetch_files(location: str, downloads: Sequence[Download], access: Access, progress: Progress) -> None:
    """Download each file from below the location. Raises DownloadFailed."""
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        for download in downloads:
            file, url = download.file, f"{location.rstrip('/')}/{quote(download.path)}"
            HttpDownload(client, url, download.part, file.size, report_bytes(progress, file.name, file.size)).run()


def fetch(location: str, selection: Selection, staging: StagingArea, access: Access, progress: Progress) -> Fetched:
    """Download one file. Raises BadRequest for a file that can't be what is wanted, DownloadFailed, or BadModelFile for
    other bytes than the pinned ones."""
    url, _, pin = location.partition("#")
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    selection.check_url(url, name)
    if pin and not _PIN.fullmatch(pin):
        raise BadRequest(f"#{pin} is not a valid pin; write #sha256= and 64 hexadecimal digits.")
    if pin and (stored := staging.find_verified(pin.replace("=", ":"))) is not None:
        return Fetched(location=location, files={check_file_name(name): stored})
    part = staging.part_path(url)
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        size = get_size(client, url, hint=_HINT)
        staging.check_room(size - partial_size(part), name)
        HttpDownload(client, url, part, size, report_bytes(progress, name, size), hint=_HINT).run()
    digest = digest_of(part)
    if pin and pin != digest.replace(":", "="):
        part.unlink()
        raise BadModelFile(f"{url} has {digest}, but {pin} was requested. The file was deleted.")
    return Fetched(location=f"{url}#{digest.replace(':', '=')}", files={check_file_name(name): part})
