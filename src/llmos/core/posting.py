"""Poster: one POST to an address of somebody else, which is checked before each connection.

The name is resolved for each request, every address is checked, and the connection goes to one of these. Redirects are
not followed, proxies of the environment aren't used, and no answer takes longer than TIMEOUT_SECONDS.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from llmos.core.addresses import AddressRefused, resolve
from llmos.core.clock import Clock, utc_now

TIMEOUT_SECONDS = 15.0

MAX_REPLY_BYTES = 64 << 10
"""The most that is read of an answer."""

_MAX_RETRY_AFTER_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The outcome of one request."""

    status: int | None = None
    """None: there was no answer."""
    error: str = ""
    """The fault, in a sentence; empty for a status of 2xx."""
    body: bytes = b""
    seconds: float = 0.0
    retry_after_seconds: float = 0.0

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Poster:
    """Belongs to one event loop. `async with` closes its connections."""

    def __init__(self, *, timeout_seconds: float = TIMEOUT_SECONDS, clock: Clock = utc_now) -> None:
        self._timeout, self._clock = timeout_seconds, clock
        self._client = httpx.AsyncClient(
            follow_redirects=False, trust_env=False, timeout=timeout_seconds, verify=httpx.create_ssl_context()
        )

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool, max_bytes: int = 0
    ) -> Reply:
        """Return what the receiver answered, with at most `max_bytes` of the body. Raises nothing."""
        began, reply = time.monotonic(), Reply()
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._post(httpx.URL(url), body, headers, allow_private, max_bytes)
        except (TimeoutError, httpx.TimeoutException):
            reply = Reply(error=f"There was no answer within {self._timeout:g} seconds.")
        except AddressRefused as error:
            reply = Reply(error=str(error))
        except httpx.HTTPError as error:
            reply = Reply(error=f"The receiver can't be reached: {error or type(error).__name__}.")
        return Reply(
            status=reply.status,
            error=reply.error,
            body=reply.body,
            seconds=round(time.monotonic() - began, 3),
            retry_after_seconds=reply.retry_after_seconds,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def __aenter__(self) -> "Poster":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _post(
        self, url: httpx.URL, body: bytes, headers: Mapping[str, str], allow_private: bool, max_bytes: int
    ) -> Reply:
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = await asyncio.to_thread(resolve, url.host, port, allow_private=allow_private)
        named = {"Host": url.netloc.decode(), **headers}
        for number, address in enumerate(addresses, 1):
            request = self._client.build_request(
                "POST",
                url.copy_with(host=address),
                content=body,
                headers=named,
                extensions={"sni_hostname": url.host},
            )
            try:
                return await self._send(request, max_bytes)
            except httpx.ConnectError:
                if number == len(addresses):
                    raise
        raise AddressRefused(f"{url.host} has no address.")

    async def _send(self, request: httpx.Request, max_bytes: int) -> Reply:
        reply = await self._client.send(request, stream=True)
        try:
            error = "" if reply.is_success else f"The receiver answered with the status {reply.status_code}."
            if reply.is_redirect:
                error += " Redirects aren't followed: change the URL."
            return Reply(
                status=reply.status_code,
                error=error,
                body=await _start_of(reply, max_bytes),
                retry_after_seconds=self._seconds(reply.headers.get("Retry-After", "")),
            )
        finally:
            await reply.aclose()

    def _seconds(self, retry_after: str) -> float:
        """Return what a Retry-After asks for, in seconds; 0 where it can't be read."""
        if retry_after.isascii() and retry_after.isdecimal():
            return min(float(retry_after[:9]), _MAX_RETRY_AFTER_SECONDS)
        try:
            seconds = (parsedate_to_datetime(retry_after) - self._clock()).total_seconds()
        except (ValueError, TypeError):
            return 0.0
        return min(max(seconds, 0.0), _MAX_RETRY_AFTER_SECONDS)


async def _start_of(reply: httpx.Response, max_bytes: int) -> bytes:
    body = b""
    if max_bytes:
        async for part in reply.aiter_bytes():
            body += part
            if len(body) >= max_bytes:
                break
    return body[:max_bytes]
