"""Downloads over HTTP that resume after an interruption and fail quickly when the host can't be reached."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from llmos.core.byte_progress import OnBytes
from llmos.core.errors import DownloadFailed

TIMEOUT = httpx.Timeout(30, connect=4)
"""Seconds. Connecting is short, so that a machine without internet access gets to the next source soon."""

_MAX_FRUITLESS_ATTEMPTS = 3
"""Consecutive attempts that bring no new byte before a download fails. Attempts that bring some don't count."""

PAUSE_SECONDS = 0.5
"""After a busy server's first answer. Doubled for each further attempt that brings nothing."""


class _Interrupted(Exception):
    """An attempt ended early; another one may get further."""

    def __init__(self, reason: str, pause_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.pause_seconds = pause_seconds


@dataclass(frozen=True, slots=True)
class HttpDownload:
    """The download of one file of known size.

    HttpDownload(client, "https://example.com/model.gguf", Path("model.part"), 1_000, print).run()
    """

    client: httpx.Client
    url: str
    part: Path
    """The local file. A prefix that an earlier attempt left in it is not fetched again."""
    size: int
    """Bytes of the whole file."""
    on_bytes: OnBytes
    check_headers: Callable[[httpx.Response], None] | None = None
    """Called with each response before its body is read. Raises to reject it."""
    hint: str = "set HF_TOKEN if it is a gated model"
    """The advice where permission is denied."""

    def run(self, pause: Callable[[float], None] = time.sleep) -> None:
        """Download what is missing. Raises DownloadFailed. `pause` waits the given seconds between attempts."""
        num_fruitless = 0
        while True:
            num_before = self._num_present()
            try:
                return self._attempt(num_before)
            except _Interrupted as interruption:
                num_fruitless = 0 if self._num_present() > num_before else num_fruitless + 1
                if num_fruitless >= _MAX_FRUITLESS_ATTEMPTS:
                    progress = f"{self._num_present():,} of {self.size:,} bytes"
                    raise DownloadFailed(f"{interruption} after {progress}") from None
                if interruption.pause_seconds:
                    pause(interruption.pause_seconds * 2**num_fruitless)

    def _attempt(self, num_present: int) -> None:
        self.on_bytes(num_present)
        if num_present == self.size:
            return
        headers = {"Accept-Encoding": "identity"}  # Offsets in a compressed response can't be resumed from.
        if num_present:
            headers["Range"] = f"bytes={num_present}-"
        try:
            with self.client.stream("GET", self.url, headers=headers) as response:
                self._check_status(response)
                if self.check_headers is not None:
                    self.check_headers(response)
                start = _start_of(response, self.size)
                if start not in (0, num_present):
                    raise DownloadFailed(f"{self.url} sent bytes from {start:,} on instead of {num_present:,}")
                self._receive(response, start)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise unreachable(self.url, error) from None
        except httpx.TransportError as error:
            raise _Interrupted(f"the connection broke ({error or type(error).__name__})") from None
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise DownloadFailed(f"{self.url} can't be followed ({error})") from None

    def _receive(self, response: httpx.Response, start: int) -> None:
        num_done = start
        with self.part.open("ab" if start else "wb") as file:
            for chunk in response.iter_raw():  # Unbuffered: a larger buffer would be lost when the connection breaks.
                num_done += len(chunk)
                if num_done > self.size:
                    raise DownloadFailed(f"{response.url} sends more than the expected {self.size:,} bytes")
                file.write(chunk)
                self.on_bytes(num_done)
        if num_done < self.size:
            raise _Interrupted("the connection broke")

    def _check_status(self, response: httpx.Response) -> None:
        status, url = response.status_code, response.url
        if status in (200, 206):
            return
        if status == 416:
            # The server's file is shorter than what is here, so what is here is not a prefix of it.
            self.part.unlink(missing_ok=True)
            raise _Interrupted("the server refused to resume")
        if status in (408, 429) or status >= 500:
            raise _Interrupted(f"{url.host} responded with status {status}", pause_seconds=PAUSE_SECONDS)
        raise _refused(str(url), status, self.hint)

    def _num_present(self) -> int:
        """Return the bytes to resume from: 0 where the local file is longer than the whole."""
        num_bytes = partial_size(self.part)
        return num_bytes if num_bytes <= self.size else 0


def partial_size(part: Path) -> int:
    """Return the bytes of a partial file, 0 where there is none."""
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def get_json(
    client: httpx.Client, url: str, *, params: Mapping[str, str] | None = None, hint: str = ""
) -> dict[str, Any]:
    """Return the JSON object at a URL. Raises DownloadFailed; `hint` says what to do when permission is denied."""
    try:
        response = client.get(url, params=params)
    except httpx.TransportError as error:
        raise unreachable(url, error) from None
    if response.status_code in (401, 403, 404):
        raise _refused(url, response.status_code, hint)
    try:
        answer = response.raise_for_status().json()
    except (httpx.HTTPStatusError, ValueError):
        raise DownloadFailed(f"{url} responded with status {response.status_code} and no valid JSON") from None
    if not isinstance(answer, dict):
        raise DownloadFailed(f"{url} did not respond with a JSON object")
    return answer


def get_size(client: httpx.Client, url: str, *, hint: str = "") -> int:
    """Return the size in bytes of the file at a URL. Raises DownloadFailed, also where the server doesn't tell it;
    `hint` says what to do when permission is denied."""
    try:
        response = client.head(url, headers={"Accept-Encoding": "identity"})
    except httpx.TransportError as error:
        raise unreachable(url, error) from None
    except httpx.TooManyRedirects as error:
        raise DownloadFailed(f"{url} can't be followed ({error})") from None
    if response.status_code >= 400:
        raise _refused(url, response.status_code, hint)
    size = response.headers.get("Content-Length", "")
    if not size.isdecimal():
        raise DownloadFailed(f"{url} doesn't tell its size; download it yourself, then run: llmos import FILE")
    return int(size)


def _refused(url: str, status: int, hint: str) -> DownloadFailed:
    """Return the error for a status that another attempt doesn't change."""
    if status in (401, 403):
        return DownloadFailed(f"{url} needs permission (status {status}); {hint}")
    return DownloadFailed(f"{url} {'does not exist' if status == 404 else 'is refused'} (status {status})")


def unreachable(url: str, error: httpx.TransportError) -> DownloadFailed:
    """Return the error for a host that can't be reached."""
    return DownloadFailed(f"{httpx.URL(url).host} can't be reached ({error or type(error).__name__})")


def _start_of(response: httpx.Response, size: int) -> int:
    """Return the offset in the file at which the body begins. Raises DownloadFailed for a file of another size."""
    if response.status_code == 200:
        start, total = 0, response.headers.get("Content-Length")
    else:
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        first = span.partition("-")[0]
        if not first.isdecimal():
            raise DownloadFailed(f"{response.url} responded with status 206 but without a Content-Range")
        start = int(first)
    if total is not None and total.isdecimal() and int(total) != size:
        raise DownloadFailed(f"{response.url} has {int(total):,} bytes; {size:,} were expected")
    return start
