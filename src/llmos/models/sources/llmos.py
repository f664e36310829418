"""llmos:http://host:8000/NAME@3: a version on another LLMOS server. Access says who is sent LLMOS_API_KEY."""

import re

import httpx

from llmos.core.byte_progress import report_bytes
from llmos.core.errors import BadModelFile, BadRequest
from llmos.core.progress import Progress
from llmos.core.sources import Access, Fetched
from llmos.core.sources._download import TIMEOUT, HttpDownload, get_json, partial_size
from llmos.core.store.blob_files import digest_of
from llmos.core.store.staging import StagingArea
from llmos.models.versions.records import fields_of, read_record

_LOCATION = re.compile(r"llmos:(?P<server>https?://[^/\s]+)/(?P<ref>[^/\s]+)")


def fetch_model(location: str, staging: StagingArea, access: Access, progress: Progress) -> Fetched:
    """Fetch the version's record and the files whose blobs aren't in the store.

    Raises BadRequest for an invalid location, DownloadFailed, or BadModelFile for other bytes than the record lists.
    """
    match = _LOCATION.fullmatch(location)
    if match is None:
        raise BadRequest(
            f"{location!r} is not a version on a server; write llmos:https://HOST/NAME or llmos:https://HOST/NAME@NUMBER."
        )
    server = match["server"]
    with httpx.Client(timeout=TIMEOUT, headers=access.headers_for(server)) as client:
        url = f"{server}/llmos/v1/records/{match['ref']}"
        record = read_record(get_json(client, url, hint=access.advice_for(server)))
        stored = {file.name: staging.find_stored(file.digest, file.size) for file in record.stored_files}
        files = {file.name: stored[file.name] or staging.part_path(file.digest) for file in record.stored_files}
        missing = [file for file in record.stored_files if stored[file.name] is None]
        num_present = sum(partial_size(files[file.name]) for file in missing)
        staging.check_room(sum(file.size for file in missing) - num_present, location)
        for file in missing:
            part, url = files[file.name], f"{server}/llmos/v1/blobs/{file.digest}"
            HttpDownload(client, url, part, file.size, report_bytes(progress, file.name, file.size)).run()
            if (received := digest_of(part)) != file.digest:
                part.unlink()
                raise BadModelFile(f"{file.name} arrived as {received} instead of {file.digest}. It was deleted.")
    location = f"llmos:{server}/{record.model}@{record.digest}"
    return Fetched(location=location, files=files, record=fields_of(record))
