"""Pushes a version to another LLMOS server, or as an image to an OCI registry. Only missing blobs are sent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from llmos.core.byte_progress import OnBytes, report_bytes
from llmos.core.encryption.sealed_path import plain_size
from llmos.core.errors import BadRequest, DownloadFailed
from llmos.core.progress import Progress
from llmos.core.sources import Access
from llmos.core.sources._download import TIMEOUT, unreachable
from llmos.models.sources.oci.client import Repository
from llmos.models.sources.oci.credentials import credentials_for
from llmos.models.sources.oci.image import open_base, push_image
from llmos.models.sources.oci.image_reference import parse_image_reference
from llmos.models.sources.oci.layer import Layer
from llmos.models.versions.records import VersionRecord, fields_of

_CHUNK_BYTES = 1 << 20
_MAX_ATTEMPTS = 3
"""Attempts to send a blob; also attempts to list the version, should the server lose blobs meanwhile."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """The result of a push."""

    location: str
    """The version's new location, pinned."""
    num_bytes: int
    """The bytes sent."""


def push(
    record: VersionRecord,
    files: Mapping[str, Path],
    target: str,
    access: Access,
    progress: Progress,
    base: str | None = None,
) -> Pushed:
    """Send the version to `target`: oci:HOST/REPOSITORY:TAG, llmos:http://HOST, or llmos:http://HOST/NAME to rename it.

    `base`: an image (oci:…) whose layers come below the model's. Raises BadRequest, or DownloadFailed with the reason.
    """
    check_target(target, base)
    if target.startswith("oci:"):
        return _to_registry(record, files, target, access, progress, base)
    return _to_server(record, files, target, access, progress)


def check_target(target: str, base: str | None = None) -> None:
    """Raise BadRequest for what can't be a target, and for a base image of one that isn't an image."""
    if target.startswith("oci:"):
        if parse_image_reference(target).digest is not None:
            raise BadRequest(f"{target} has a digest, which depends on the content. Push to a tag.", param="target")
        return
    if base is not None:
        raise BadRequest("--base works only with images: push to oci:HOST/REPOSITORY:TAG.", param="base")
    if not target.startswith("llmos:"):
        raise BadRequest(
            f"{target!r} is not a target to push to; write oci:HOST/REPOSITORY:TAG or llmos:http://HOST:PORT.",
            param="target",
        )
    _parse_server(target)


def _parse_server(target: str) -> tuple[str, str]:
    """Return the address of a server, and the model's name there; empty for the same as here."""
    try:
        url = urlsplit(target.removeprefix("llmos:"))
        is_server = url.scheme in ("http", "https") and bool(url.hostname)
    except ValueError:  # such as a bracket that isn't closed
        is_server = False
    if not is_server or "/" in (name := url.path.strip("/")):
        raise BadRequest(
            f"{target.removeprefix('llmos:')!r} is not a server; write llmos:https://HOST:PORT or"
            " llmos:https://HOST:PORT/NAME.",
            param="target",
        )
    return f"{url.scheme}://{url.netloc}", name


def _to_registry(
    record: VersionRecord, files: Mapping[str, Path], target: str, access: Access, progress: Progress, base: str | None
) -> Pushed:
    image = parse_image_reference(target)
    digests = {file.name: file.digest for file in record.files}
    layers = [
        Layer(name, path, digests[name], report_bytes(progress, name, plain_size(path)))
        for name, path in sorted(files.items())
    ]
    fields = fields_of(record)
    with Repository(image, credentials_for(image.host, access.docker_config)) as repository:
        if base is None:
            digest, num_sent = push_image(repository, image.tag_or_digest, layers, fields)
        else:
            base_image = parse_image_reference(base)
            with Repository(base_image, credentials_for(base_image.host, access.docker_config)) as other:
                digest, num_sent = push_image(repository, image.tag_or_digest, layers, fields, open_base(other))
    return Pushed(image.pinned(digest), num_sent)


def _to_server(
    record: VersionRecord, files: Mapping[str, Path], target: str, access: Access, progress: Progress
) -> Pushed:
    server, name = _parse_server(target)
    name = name or record.model
    paths = {file.digest: files[file.name] for file in record.files}
    names = {file.digest: file.name for file in record.files}
    num_sent = 0
    with httpx.Client(timeout=TIMEOUT, headers=access.headers_for(server)) as client:
        for _ in range(_MAX_ATTEMPTS):
            url = f"{server}/llmos/v1/records/{name}"
            answer = _request(client, "PUT", url, advice=access.advice_for(server), json=fields_of(record))
            if answer.status_code == 201:
                return Pushed(f"llmos:{server}/{answer.json()['version']}", num_sent)
            for digest in answer.json()["missing"]:
                if digest not in paths:
                    raise DownloadFailed(f"{server} requests {digest}, which is not a blob of {record.model}")
                path = paths[digest]
                on_bytes = report_bytes(progress, names[digest], plain_size(path))
                num_sent += _send_blob(client, f"{server}/llmos/v1/blobs/{digest}", path, on_bytes)
    raise DownloadFailed(f"{server} deleted blobs during the push, because models are being removed there. Try again")


def _send_blob(client: httpx.Client, url: str, path: Path, on_bytes: OnBytes) -> int:
    """Send what the server lacks of a blob, and return the number of bytes sent."""
    size, num_sent = plain_size(path), 0
    for attempt in range(1, _MAX_ATTEMPTS + 1):
        answer = client.head(url)
        if answer.status_code == 200:
            return num_sent
        first = min(int(answer.headers.get("llmos-received", "0")), size)
        # Content-Range can't express an empty range: where all bytes have arrived, the last one is sent again.
        first = max(0, min(first, size - 1))
        span = f"bytes {first}-{size - 1}/{size}" if size else "bytes */0"
        headers = {"Content-Range": span, "Content-Length": str(size - first)}
        try:
            _request(client, "PUT", url, content=_content(path, first, on_bytes), headers=headers)
        except DownloadFailed:
            if attempt == _MAX_ATTEMPTS:
                raise
        num_sent += size - first
    return num_sent


def _content(path: Path, first: int, on_bytes: OnBytes) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
            first += len(chunk)
            on_bytes(first)


def _request(client: httpx.Client, method: str, url: str, *, advice: str = "", **arguments: Any) -> httpx.Response:
    try:
        response = client.request(method, url, **arguments)
    except httpx.TransportError as error:
        raise unreachable(url, error) from None
    if response.status_code in (401, 403):
        raise DownloadFailed(f"{httpx.URL(url).host} refused the key: {advice or 'it may have expired'}")
    if response.status_code >= 400:
        raise DownloadFailed(f"{url} responded with status {response.status_code}: {_message(response)}")
    return response


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
