"""Push a version: to another LLMOS server, or as an image to an OCI registry. Only what is missing there is sent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from llmos.core.errors import BadRequest, DownloadFailed
from llmos.models.sources import Access, Progress
from llmos.models.sources._download import TIMEOUT
from llmos.models.sources.oci.client import Repository
from llmos.models.sources.oci.credentials import credentials_for
from llmos.models.sources.oci.image import open_base, push_image
from llmos.models.sources.oci.layer import Layer
from llmos.models.sources.oci.place import parse_place
from llmos.models.versions.records import Record, fields_of

_CHUNK_BYTES = 1 << 20
_MAX_ATTEMPTS = 3
"""Times that a blob is begun or gone on with; and that the version is announced, should blobs go meanwhile."""


@dataclass(frozen=True, slots=True)
class Pushed:
    location: str
    """Where the version lies now, pinned."""
    num_bytes: int
    """Those that were sent."""


def push(
    record: Record, files: Mapping[str, Path], target: str, access: Access, progress: Progress, base: str | None = None
) -> Pushed:
    """Bring the version to `target`: oci:HOST/REPOSITORY:TAG, or llmos:http://HOST or …/NAME for another name there.

    `base`: an image (oci:…) that the model's layers lie upon. Raises BadRequest, or DownloadFailed with the reason.
    """
    if target.startswith("oci:"):
        return _to_registry(record, files, target, access, progress, base)
    if base is not None:
        raise BadRequest("--base is of images: push to oci:HOST/REPOSITORY:TAG.", param="base")
    if target.startswith("llmos:"):
        return _to_server(record, files, target.removeprefix("llmos:"), access, progress)
    raise BadRequest(
        f"{target!r} is no place to push to; it takes oci:HOST/REPOSITORY:TAG or llmos:http://HOST:PORT.",
        param="target",
    )


def _to_registry(
    record: Record, files: Mapping[str, Path], target: str, access: Access, progress: Progress, base: str | None
) -> Pushed:
    place = parse_place(target)
    if place.digest is not None:
        raise BadRequest(f"{target} names a digest, which follows from the content. Push to a tag.", param="target")
    digests = {file.name: file.digest for file in record.files}
    layers = [
        Layer(name, path, digests[name], partial(_told, progress, name, path.stat().st_size))
        for name, path in sorted(files.items())
    ]
    with Repository(place, credentials_for(place.host, access.docker_config)) as repository:
        if base is None:
            digest, num_sent = push_image(repository, place.reference, layers, fields_of(record))
        else:
            below = parse_place(base)
            with Repository(below, credentials_for(below.host, access.docker_config)) as other:
                digest, num_sent = push_image(repository, place.reference, layers, fields_of(record), open_base(other))
    return Pushed(place.pinned(digest), num_sent)


def _to_server(record: Record, files: Mapping[str, Path], target: str, access: Access, progress: Progress) -> Pushed:
    url = urlsplit(target)
    name = url.path.strip("/") or record.model
    if url.scheme not in ("http", "https") or not url.netloc or "/" in name:
        raise BadRequest(f"{target!r} is no server; one reads llmos:https://HOST:PORT or …/NAME.", param="target")
    server = f"{url.scheme}://{url.netloc}"
    headers = {"Authorization": f"Bearer {access.api_key}"} if access.api_key else {}
    paths = {file.digest: files[file.name] for file in record.files}
    names = {file.digest: file.name for file in record.files}
    num_sent = 0
    with httpx.Client(timeout=TIMEOUT, headers=headers) as client:
        for _ in range(_MAX_ATTEMPTS):
            answer = _ask(client, "PUT", f"{server}/llmos/v1/records/{name}", json=fields_of(record))
            if answer.status_code == 201:
                return Pushed(f"llmos:{server}/{answer.json()['version']}", num_sent)
            for digest in answer.json()["missing"]:
                if digest not in paths:
                    raise DownloadFailed(f"{server} asks for {digest}, which is no part of {record.model}")
                path = paths[digest]
                told = partial(_told, progress, names[digest], path.stat().st_size)
                num_sent += _send_blob(client, f"{server}/llmos/v1/blobs/{digest}", path, told)
    raise DownloadFailed(f"{server} forgets what it was sent: somebody removes models there meanwhile. Try again")


def _send_blob(client: httpx.Client, url: str, path: Path, on_bytes: Any) -> int:
    size, num_sent = path.stat().st_size, 0
    for attempt in range(1, _MAX_ATTEMPTS + 1):
        there = client.head(url)
        if there.status_code == 200:
            return num_sent
        first = min(int(there.headers.get("llmos-received", "0")), size)
        # At least one byte, for there is no range of none: the last, should they all be there.
        first = max(0, min(first, size - 1))
        span = f"bytes {first}-{size - 1}/{size}" if size else "bytes */0"
        headers = {"Content-Range": span, "Content-Length": str(size - first)}
        try:
            _ask(client, "PUT", url, content=_content(path, first, on_bytes), headers=headers)
        except DownloadFailed:
            if attempt == _MAX_ATTEMPTS:
                raise
        num_sent += size - first
    return num_sent


def _content(path: Path, first: int, on_bytes: Any) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
            first += len(chunk)
            on_bytes(first)


def _ask(client: httpx.Client, method: str, url: str, **arguments: Any) -> httpx.Response:
    try:
        response = client.request(method, url, **arguments)
    except httpx.TransportError as error:
        raise DownloadFailed(f"{httpx.URL(url).host} can't be reached ({error or type(error).__name__})") from None
    if response.status_code in (401, 403):
        raise DownloadFailed(f"{httpx.URL(url).host} wants its own key: set LLMOS_API_KEY to it")
    if response.status_code >= 400:
        raise DownloadFailed(f"{url} answered with status {response.status_code}: {_message(response)}")
    return response


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]


def _told(progress: Progress, name: str, size: int, num_done: int) -> None:
    progress(name, num_done, size)
