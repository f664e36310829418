"""llmos:http://host:8000/NAME@3: a version of another LLMOS server. LLMOS_API_KEY is the key that it asks for."""

import re
from functools import partial

import httpx

from llmos.core.errors import BadModelFile, BadRequest
from llmos.models.sources import Access, Gathered, Progress
from llmos.models.sources._download import TIMEOUT, download, get_json
from llmos.models.store import Arrivals, digest_of
from llmos.models.versions.records import fields_of, read_record

_LOCATION = re.compile(r"llmos:(?P<server>https?://[^/\s]+)/(?P<ref>[^/\s]+)")


def gather(location: str, arrivals: Arrivals, access: Access, progress: Progress) -> Gathered:
    match = _LOCATION.fullmatch(location)
    if match is None:
        raise BadRequest(f"{location!r} is no version of a server; one reads llmos:https://HOST/NAME or …/NAME@NUMBER.")
    server, headers = match["server"], {"Authorization": f"Bearer {access.api_key}"} if access.api_key else {}
    with httpx.Client(timeout=TIMEOUT, headers=headers) as client:
        hint = "set LLMOS_API_KEY to that server's key"
        record = read_record(get_json(client, f"{server}/llmos/v1/records/{match['ref']}", hint=hint))
        files, missing = {}, []
        for file in record.stored_files:
            if (stored := arrivals.stored(file.digest, file.size)) is not None:
                files[file.name] = stored
            else:
                files[file.name] = arrivals.part(file.digest)
                missing.append(file)
        num_arrived = sum(files[file.name].stat().st_size for file in missing if files[file.name].exists())
        arrivals.check_room(sum(file.size for file in missing) - num_arrived, location)
        for file in missing:
            part = files[file.name]
            told = partial(_told, progress, file.name, file.size)
            download(client, f"{server}/llmos/v1/blobs/{file.digest}", part, file.size, told)
            if (got := digest_of(part)) != file.digest:
                part.unlink()
                raise BadModelFile(f"{file.name} arrived as {got} instead of {file.digest}. It was thrown away.")
    return Gathered(location=f"llmos:{server}/{record.model}@{record.digest}", files=files, record=fields_of(record))


def _told(progress: Progress, name: str, size: int, num_done: int) -> None:
    progress(name, num_done, size)
