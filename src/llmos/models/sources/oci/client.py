"""A client of the OCI distribution protocol, version 1.1: pulls and pushes manifests and blobs of one repository."""

import hashlib
import json
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin

import httpx

from llmos.core.byte_progress import OnBytes
from llmos.core.errors import BadModelFile, DownloadFailed
from llmos.core.sources._download import TIMEOUT, HttpDownload
from llmos.models.sources.oci.image_reference import ImageReference

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFESTS = (
    MANIFEST,
    INDEX,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MAX_MANIFEST_BYTES = 4 << 20
"""The size that the specification asks registries to accept."""

_MAX_ATTEMPTS = 3
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')

Chunks = Callable[[], Iterator[bytes]]


class Repository:
    """A repository in a registry.

    with Repository(parse_image_reference("oci:registry.example.com/models/smollm2:v1")) as repository:
        digest, manifest = repository.manifest("v1")
    """

    def __init__(self, image: ImageReference, credentials: tuple[str, str] | None = None) -> None:
        """`credentials`: name and password."""
        self.image = image
        self._base = f"{image.url}/v2/{image.repository}"
        self._client = httpx.Client(
            timeout=TIMEOUT, follow_redirects=True, auth=_Auth(httpx.URL(image.url), credentials)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def manifest(self, reference: str) -> tuple[str, dict[str, Any]]:
        """Return the digest and the content of a manifest or an index. Raises DownloadFailed or BadModelFile."""
        url = f"{self._base}/manifests/{reference}"
        response = self._send("GET", url, headers={"Accept": ", ".join(_MANIFESTS)})
        if response.status_code == 404:
            raise DownloadFailed(f"{self.image.host} has no {self.image.repository}:{reference}")
        self._check(response)
        if len(response.content) > _MAX_MANIFEST_BYTES:
            raise BadModelFile(f"{url} is a manifest of {len(response.content):,} bytes; the limit is 4 MiB.")
        digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
        if reference.startswith("sha256:") and digest != reference:
            raise BadModelFile(f"{url} responded with {digest}. The registry or a proxy changes bytes.")
        try:
            manifest = json.loads(response.content)
        except ValueError:
            manifest = None
        if not isinstance(manifest, dict):
            raise BadModelFile(f"{url} is not a manifest.")
        return digest, manifest

    def put_manifest(self, reference: str, content: bytes) -> None:
        """Upload a manifest under a tag. Raises DownloadFailed."""
        url = f"{self._base}/manifests/{reference}"
        self._check(self._send("PUT", url, content=content, headers={"Content-Type": MANIFEST}))

    def has_blob(self, digest: str) -> bool:
        """Return whether the repository has the blob. Raises DownloadFailed."""
        response = self._send("HEAD", f"{self._base}/blobs/{digest}")
        if response.status_code == 404:
            return False
        self._check(response)
        return True

    def pull_blob(self, digest: str, size: int, part: Path, on_bytes: OnBytes) -> None:
        """Download a blob to `part`, resuming from what it holds. The caller verifies the digest."""
        HttpDownload(self._client, f"{self._base}/blobs/{digest}", part, size, on_bytes).run()

    def read_blob(self, digest: str) -> Iterator[bytes]:
        """Yield the bytes of a blob without writing it to disk."""
        with self._client.stream("GET", f"{self._base}/blobs/{digest}") as response:
            if response.status_code >= 400:
                response.read()
            self._check(response)
            yield from response.iter_raw()

    def push_blob(self, digest: str, size: int, chunks: Chunks, *, mount_from: str | None = None) -> bool:
        """Upload a blob and return whether bytes were sent: none are when the repository has it, or `mount_from` does,
        a repository of the same registry. `chunks` is called again when the connection breaks."""
        if self.has_blob(digest):
            return False
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            mount = f"?mount={digest}&from={mount_from}" if mount_from else ""
            upload = self._send("POST", f"{self._base}/blobs/uploads/{mount}")
            self._check(upload)
            if upload.status_code == 201:
                return False
            target = httpx.URL(urljoin(str(upload.url), upload.headers.get("Location", "")))
            target = target.copy_merge_params({"digest": digest})
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
            try:
                self._check(self._client.put(target, content=chunks(), headers=headers))
                return True
            except httpx.TransportError as error:
                if attempt == _MAX_ATTEMPTS:
                    raise DownloadFailed(f"{self.image.host} interrupted the upload ({error})") from None
        raise AssertionError("unreachable")

    def _send(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        try:
            return self._client.request(method, url, **arguments)
        except httpx.TransportError as error:
            raise DownloadFailed(f"{self.image.host} can't be reached ({error or type(error).__name__})") from None
        except _NoToken as error:
            raise DownloadFailed(f"{self.image.host} issues no token ({error})") from None

    def _check(self, response: httpx.Response) -> None:
        if response.status_code in (401, 403):
            raise DownloadFailed(
                f"{self.image.host} needs permission for {self.image.repository} (status {response.status_code});"
                f" log in with: docker login {self.image.host}"
            )
        if response.status_code >= 400:
            reason = response.text[:200] if response.request.method != "HEAD" else ""
            raise DownloadFailed(f"{response.url} responded with status {response.status_code} {reason}".rstrip())


class _NoToken(Exception):
    """The registry's token service refused."""


class _Auth(httpx.Auth):
    """Authenticates with name and password, or with a token from the registry's token service.

    Neither is sent to another host: not to the target of an upload or a redirect. The password is not sent to a token
    service on another host without TLS.
    """

    def __init__(self, registry: httpx.URL, credentials: tuple[str, str] | None) -> None:
        self._registry = registry
        self._basic = httpx.BasicAuth(*credentials) if credentials else None
        self._header: str | None = None

    # Not auth_flow: httpx would read every response body into memory for it, blobs included.
    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._header is not None and self._is_registry(request.url):
            request.headers["Authorization"] = self._header
        response = yield request
        if response.status_code != 401 or not self._is_registry(response.url):
            return
        scheme, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
        fields = dict(_CHALLENGE.findall(rest))
        if scheme.lower() == "basic" and self._basic is not None:
            yield from self._basic.auth_flow(request)
            self._header = request.headers["Authorization"]
        elif scheme.lower() == "bearer" and "realm" in fields:
            query = {name: fields[name] for name in ("service", "scope") if name in fields}
            realm = httpx.URL(fields["realm"])
            token_request = httpx.Request("GET", realm.copy_merge_params(query))
            if self._basic is not None:
                if realm.scheme != "https" and realm.host != self._registry.host:
                    raise _NoToken(f"the password would be sent to {realm.host} without encryption")
                token_request = next(self._basic.auth_flow(token_request))
            answer = yield token_request
            answer.read()
            request.headers["Authorization"] = self._header = f"Bearer {_token(answer)}"
            yield request

    def _is_registry(self, url: httpx.URL) -> bool:
        return (url.scheme, url.host, url.port) == (self._registry.scheme, self._registry.host, self._registry.port)


def _token(answer: httpx.Response) -> str:
    try:
        fields = answer.raise_for_status().json()
        token = fields.get("token") or fields["access_token"]
    except (httpx.HTTPStatusError, ValueError, KeyError, AttributeError):
        raise _NoToken(f"status {answer.status_code}") from None
    return str(token)
