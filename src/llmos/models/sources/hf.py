"""hf:owner/name@revision: a repository of the Hugging Face hub, or of the mirror that HF_ENDPOINT names."""

import re
from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

import httpx

from llmos.core.errors import BadRequest, DownloadFailed
from llmos.models.sources import Access, Progress, Wanted
from llmos.models.sources._download import TIMEOUT, download

_LOCATION = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


def fetch(location: str, wanted: Sequence[Wanted], access: Access, progress: Progress) -> None:
    match = _LOCATION.fullmatch(location)
    if match is None:
        raise BadRequest(f"{location!r} is not a hub location; one reads hf:OWNER/NAME or hf:OWNER/NAME@REVISION.")
    folder = f"{access.hf_endpoint}/{match['repository']}/resolve/{quote(match['revision'] or 'main', safe='')}"
    headers = {"Authorization": f"Bearer {access.hf_token}"} if access.hf_token else {}
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True, headers=headers) as client:
        for one in wanted:
            download(
                client,
                f"{folder}/{quote(one.path)}",
                one.part,
                one.file.size,
                partial(_report, progress, one),
                check=partial(_check_digest, one),
            )


def _check_digest(one: Wanted, response: httpx.Response) -> None:
    """The hub names the sha256 of a large file before it sends it: other bytes are not even fetched."""
    for answer in (*response.history, response):
        etag = answer.headers.get("X-Linked-Etag", "").strip('"')
        if re.fullmatch(r"[0-9a-f]{64}", etag) and f"sha256:{etag}" != one.file.digest:
            raise DownloadFailed(f"{one.path} is sha256:{etag} there, but the catalog pins {one.file.digest}")


def _report(progress: Progress, one: Wanted, num_done: int) -> None:
    progress(one.file.name, num_done, one.file.size)
