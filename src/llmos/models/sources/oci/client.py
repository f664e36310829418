"""A client of the OCI distribution protocol (spec 1.1): manifests and blobs of one repository, there and back."""

import hashlib
import json
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin

import httpx

from llmos.core.errors import BadModelFile, DownloadFailed
from llmos.models.sources._download import TIMEOUT, download
from llmos.models.sources.oci.place import Place

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFESTS = (
    MANIFEST,
    INDEX,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MAX_MANIFEST_BYTES = 4 << 20
"""What the specification asks registries to take, and no more."""

_MAX_ATTEMPTS = 3
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')

Chunks = Callable[[], Iterator[bytes]]


class Repository:
    def __init__(self, place: Place, credentials: tuple[str, str] | None = None) -> None:
        self.place = place
        self._base = f"{place.url}/v2/{place.repository}"
        self._client = httpx.Client(
            timeout=TIMEOUT, follow_redirects=True, auth=_Auth(httpx.URL(place.url), credentials)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def manifest(self, reference: str) -> tuple[str, dict[str, Any]]:
        """Return the digest and the content of a manifest, or of an index. Raises DownloadFailed or BadModelFile."""
        url = f"{self._base}/manifests/{reference}"
        response = self._send("GET", url, headers={"Accept": ", ".join(_MANIFESTS)})
        if response.status_code == 404:
            raise DownloadFailed(f"{self.place.host} has no {self.place.repository}:{reference}")
        self._check(response)
        if len(response.content) > _MAX_MANIFEST_BYTES:
            raise BadModelFile(f"{url} is a manifest of {len(response.content):,} bytes; 4 MiB is the most.")
        digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
        if reference.startswith("sha256:") and digest != reference:
            raise BadModelFile(f"{url} answered with {digest}. The registry, or what is between, changes bytes.")
        try:
            manifest = json.loads(response.content)
        except ValueError:
            manifest = None
        if not isinstance(manifest, dict):
            raise BadModelFile(f"{url} is no manifest.")
        return digest, manifest

    def put_manifest(self, reference: str, content: bytes) -> None:
        url = f"{self._base}/manifests/{reference}"
        self._check(self._send("PUT", url, content=content, headers={"Content-Type": MANIFEST}))

    def has_blob(self, digest: str) -> bool:
        response = self._send("HEAD", f"{self._base}/blobs/{digest}")
        if response.status_code == 404:
            return False
        self._check(response)
        return True

    def pull_blob(self, digest: str, size: int, part: Path, on_bytes: Callable[[int], None]) -> None:
        """Fill `part`, going on from what it holds. Whether these are the right bytes is the caller's to check."""
        download(self._client, f"{self._base}/blobs/{digest}", part, size, on_bytes)

    def read_blob(self, digest: str) -> Iterator[bytes]:
        """Yield the bytes of a small blob, or of one that goes straight on to another registry."""
        with self._client.stream("GET", f"{self._base}/blobs/{digest}") as response:
            if response.status_code >= 400:
                response.read()
            self._check(response)
            yield from response.iter_raw()

    def push_blob(self, digest: str, size: int, chunks: Chunks, *, mount_from: str | None = None) -> bool:
        """Bring a blob there, and say whether bytes were sent: none are where it is there, or in `mount_from`, a
        repository of the same registry, already. `chunks` gives the bytes, once more where the line breaks."""
        if self.has_blob(digest):
            return False
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            mount = f"?mount={digest}&from={mount_from}" if mount_from else ""
            begun = self._send("POST", f"{self._base}/blobs/uploads/{mount}")
            self._check(begun)
            if begun.status_code == 201:
                return False
            where = httpx.URL(urljoin(str(begun.url), begun.headers.get("Location", "")))
            where = where.copy_merge_params({"digest": digest})
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
            try:
                self._check(self._client.put(where, content=chunks(), headers=headers))
                return True
            except httpx.TransportError as error:
                if attempt == _MAX_ATTEMPTS:
                    raise DownloadFailed(f"{self.place.host} broke off the upload ({error})") from None
        raise AssertionError("unreachable")

    def _send(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        try:
            return self._client.request(method, url, **arguments)
        except httpx.TransportError as error:
            raise DownloadFailed(f"{self.place.host} can't be reached ({error or type(error).__name__})") from None
        except _NoToken as error:
            raise DownloadFailed(f"{self.place.host} gives no token ({error})") from None

    def _check(self, response: httpx.Response) -> None:
        if response.status_code in (401, 403):
            raise DownloadFailed(
                f"{self.place.host} asks for permission for {self.place.repository} (status {response.status_code});"
                f" give it with: docker login {self.place.host}"
            )
        if response.status_code >= 400:
            reason = response.text[:200] if response.request.method != "HEAD" else ""
            raise DownloadFailed(f"{response.url} answered with status {response.status_code} {reason}".rstrip())


class _NoToken(Exception):
    """The registry's token service says no."""


class _Auth(httpx.Auth):
    """Name and password, or the token that a registry sends its callers to fetch with them. Both go to nobody else: not
    to where an upload or a redirect leads, and not over an open line to another host."""

    def __init__(self, registry: httpx.URL, credentials: tuple[str, str] | None) -> None:
        self._registry = registry
        self._basic = httpx.BasicAuth(*credentials) if credentials else None
        self._header: str | None = None

    # Not auth_flow, for which httpx would read every answer whole, blobs too.
    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._header is not None and self._is_the_registry(request.url):
            request.headers["Authorization"] = self._header
        response = yield request
        if response.status_code != 401 or not self._is_the_registry(response.url):
            return
        scheme, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
        fields = dict(_CHALLENGE.findall(rest))
        if scheme.lower() == "basic" and self._basic is not None:
            yield from self._basic.auth_flow(request)
            self._header = request.headers["Authorization"]
        elif scheme.lower() == "bearer" and "realm" in fields:
            asked = {name: fields[name] for name in ("service", "scope") if name in fields}
            realm = httpx.URL(fields["realm"])
            asking = httpx.Request("GET", realm.copy_merge_params(asked))
            if self._basic is not None:
                if realm.scheme != "https" and realm.host != self._registry.host:
                    raise _NoToken(f"it wants the password sent to {realm.host} without encryption")
                asking = next(self._basic.auth_flow(asking))
            answer = yield asking
            answer.read()
            request.headers["Authorization"] = self._header = f"Bearer {_token(answer)}"
            yield request

    def _is_the_registry(self, url: httpx.URL) -> bool:
        return (url.scheme, url.host, url.port) == (self._registry.scheme, self._registry.host, self._registry.port)


def _token(answer: httpx.Response) -> str:
    try:
        fields = answer.raise_for_status().json()
        token = fields.get("token") or fields["access_token"]
    except (httpx.HTTPStatusError, ValueError, KeyError, AttributeError):
        raise _NoToken(f"status {answer.status_code}") from None
    return str(token)
