"""One file over HTTP: goes on where an earlier attempt ended, and gives up quickly where nobody answers."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from llmos.core.errors import DownloadFailed

TIMEOUT = httpx.Timeout(30, connect=4)
"""Seconds. A machine without the internet must get to the next source soon."""

_MAX_FRUITLESS_ATTEMPTS = 3
"""Attempts in a row that bring no new byte. Those that bring some are free: a bad line gets there in the end."""

Check = Callable[[httpx.Response], None]


class _Interrupted(Exception):
    """The attempt ended early; another one may get further."""

    def __init__(self, reason: str, pause_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.pause_seconds = pause_seconds


def download(
    client: httpx.Client,
    url: str,
    part: Path,
    size: int,
    on_bytes: Callable[[int], None],
    *,
    check: Check | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Fill `part` with the `size` bytes at `url`, beginning at what it holds.

    `check` looks at the answer's headers, and raises, before any byte is taken. Raises DownloadFailed.
    """
    num_fruitless = 0
    while True:
        num_before = _num_bytes(part, size)
        try:
            return _attempt(client, url, part, size, num_before, on_bytes, check)
        except _Interrupted as interruption:
            num_fruitless = 0 if _num_bytes(part, size) > num_before else num_fruitless + 1
            if num_fruitless >= _MAX_FRUITLESS_ATTEMPTS:
                raise DownloadFailed(f"{interruption} after {_num_bytes(part, size):,} of {size:,} bytes") from None
            if interruption.pause_seconds:
                pause(interruption.pause_seconds * 2**num_fruitless)


def get_json(
    client: httpx.Client, url: str, *, params: Mapping[str, str] | None = None, hint: str = ""
) -> dict[str, Any]:
    """Return the JSON object at `url`. Raises DownloadFailed; `hint` says what to do where permission is asked for."""
    try:
        response = client.get(url, params=params)
    except httpx.TransportError as error:
        raise DownloadFailed(f"{httpx.URL(url).host} can't be reached ({error or type(error).__name__})") from None
    if response.status_code in (401, 403):
        raise DownloadFailed(f"{url} asks for permission (status {response.status_code}); {hint}")
    if response.status_code == 404:
        raise DownloadFailed(f"{url} does not exist (status 404)")
    try:
        answer = response.raise_for_status().json()
    except (httpx.HTTPStatusError, ValueError):
        raise DownloadFailed(f"{url} answered with status {response.status_code} and nothing readable") from None
    if not isinstance(answer, dict):
        raise DownloadFailed(f"{url} answered with no object")
    return answer


def size_at(client: httpx.Client, url: str) -> int:
    """Return how many bytes lie at `url`. Raises DownloadFailed where there are none, or nobody says how many."""
    try:
        response = client.head(url, headers={"Accept-Encoding": "identity"})
    except httpx.TransportError as error:
        raise DownloadFailed(f"{httpx.URL(url).host} can't be reached ({error or type(error).__name__})") from None
    if response.status_code >= 400:
        raise DownloadFailed(f"{url} answered with status {response.status_code}")
    size = response.headers.get("Content-Length", "")
    if not size.isdecimal():
        raise DownloadFailed(f"{url} doesn't say how long it is; download it yourself, then: llmos import FILE")
    return int(size)


def _attempt(
    client: httpx.Client,
    url: str,
    part: Path,
    size: int,
    num_have: int,
    on_bytes: Callable[[int], None],
    check: Check | None,
) -> None:
    on_bytes(num_have)
    if num_have == size:
        return
    headers = {"Accept-Encoding": "identity"}  # bytes as they are: a compressed answer has no resumable offsets
    if num_have:
        headers["Range"] = f"bytes={num_have}-"
    try:
        with client.stream("GET", url, headers=headers) as response:
            _check_status(response, part)
            if check is not None:
                check(response)
            start = _start_of(response, size)
            if start not in (0, num_have):
                raise DownloadFailed(f"{url} answered with bytes from {start:,} on instead of {num_have:,}")
            _receive(response, part, start, size, on_bytes)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise DownloadFailed(f"{httpx.URL(url).host} can't be reached ({error or type(error).__name__})") from None
    except httpx.TransportError as error:
        raise _Interrupted(f"the connection broke ({error or type(error).__name__})") from None
    except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
        raise DownloadFailed(f"{url} leads nowhere ({error})") from None


def _receive(response: httpx.Response, part: Path, start: int, size: int, on_bytes: Callable[[int], None]) -> None:
    num_done = start
    with part.open("ab" if start else "wb") as file:
        for chunk in response.iter_raw():  # as they come: collecting larger chunks would lose the last on a broken line
            num_done += len(chunk)
            if num_done > size:
                raise DownloadFailed(f"{response.url} sends more than the {size:,} bytes that the catalog pins")
            file.write(chunk)
            on_bytes(num_done)
    if num_done < size:
        raise _Interrupted("the connection broke")


def _check_status(response: httpx.Response, part: Path) -> None:
    status, url = response.status_code, response.url
    if status in (200, 206):
        return
    if status == 416:
        # The server has fewer bytes than we do: what we have is not the beginning of its file.
        part.unlink(missing_ok=True)
        raise _Interrupted("the server refused to resume")
    if status in (408, 429) or status >= 500:
        raise _Interrupted(f"{url.host} answered with status {status}", pause_seconds=0.5)
    if status in (401, 403):
        raise DownloadFailed(f"{url} asks for permission (status {status}); set HF_TOKEN if it is a gated model")
    if status == 404:
        raise DownloadFailed(f"{url} does not exist (status 404)")
    raise DownloadFailed(f"{url} answered with status {status}")


def _start_of(response: httpx.Response, size: int) -> int:
    """Return where in the file the answer begins. Raises DownloadFailed where it is a file of another size."""
    if response.status_code == 200:
        start, total = 0, response.headers.get("Content-Length")
    else:
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        first = span.partition("-")[0]
        if not first.isdecimal():
            raise DownloadFailed(f"{response.url} answered 206 without a Content-Range")
        start = int(first)
    if total is not None and total.isdecimal() and int(total) != size:
        raise DownloadFailed(f"{response.url} has {int(total):,} bytes, but the catalog pins {size:,}")
    return start


def _num_bytes(part: Path, size: int) -> int:
    try:
        num_bytes = part.stat().st_size
    except FileNotFoundError:
        return 0
    return num_bytes if num_bytes <= size else 0
