"""https://host/folder: a folder that holds the files of a catalog entry.

https://host/model.gguf is one GGUF file that is in no catalog. #sha256=… at the end pins its bytes.
"""

import re
from collections.abc import Sequence
from urllib.parse import quote, unquote, urlsplit

import httpx

from llmos.core.errors import BadModelFile, BadRequest
from llmos.core.progress import Progress
from llmos.engine.formats.gguf_parts import names_of_parts
from llmos.models.byte_progress import report_bytes
from llmos.models.names import check_file_name
from llmos.models.sources import Access, Download, FetchedModel
from llmos.models.sources._download import TIMEOUT, HttpDownload, get_size, partial_size
from llmos.models.staging import StagingArea
from llmos.models.store import digest_of

_PIN = re.compile(r"sha256=[0-9a-f]{64}")


def fetch_files(location: str, downloads: Sequence[Download], access: Access, progress: Progress) -> None:
    """Download each file from below the location. Raises DownloadFailed."""
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        for download in downloads:
            file, url = download.file, f"{location.rstrip('/')}/{quote(download.path)}"
            HttpDownload(client, url, download.part, file.size, report_bytes(progress, file.name, file.size)).run()


def fetch_model(location: str, staging: StagingArea, access: Access, progress: Progress) -> FetchedModel:
    """Download one GGUF file. Raises BadRequest for another location, DownloadFailed, or BadModelFile for other bytes
    than the pinned ones."""
    url, _, pin = location.partition("#")
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    if not name.endswith(".gguf"):
        raise BadRequest(f"{url} is not a GGUF file. A folder can't be listed over https: use hf:, s3: or oci:.")
    if len(parts := names_of_parts(name)) > 1:
        raise BadRequest(
            f"{name} is one of {len(parts)} parts of a model, and a URL is one file. Pull all of them from a hub"
            f" (hf:OWNER/NAME#{parts[0]}) or a bucket (s3:), or import the folder with all parts: llmos import FOLDER."
        )
    if pin and not _PIN.fullmatch(pin):
        raise BadRequest(f"#{pin} is not a valid pin; write #sha256= and 64 hexadecimal digits.")
    if pin and (stored := staging.find_verified(pin.replace("=", ":"))) is not None:
        return FetchedModel(location=location, files={check_file_name(name): stored})
    part = staging.part_path(url)
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        size = get_size(client, url)
        staging.check_room(size - partial_size(part), name)
        HttpDownload(client, url, part, size, report_bytes(progress, name, size)).run()
    digest = digest_of(part)
    if pin and pin != digest.replace(":", "="):
        part.unlink()
        raise BadModelFile(f"{url} has {digest}, but {pin} was requested. The file was deleted.")
    return FetchedModel(location=f"{url}#{digest.replace(':', '=')}", files={check_file_name(name): part})
