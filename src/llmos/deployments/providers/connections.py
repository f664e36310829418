"""ProviderConnections: the open HTTP connections to one provider, and what went wrong with them as errors that name it.

Redirects are not followed, and no cookies are kept: a key is sent only to the address that its owner gave.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from yarl import URL

from llmos import __version__
from llmos.core.errors import ProviderFailed, Unavailable
from llmos.deployments.providers.failures import too_slow, unreachable
from llmos.deployments.providers.provider_model import Provider

MAX_CONNECTIONS = 100
"""Open connections to one provider."""

CONNECT_SECONDS = 10.0

SILENCE_SECONDS = 300.0
"""A request to a provider that sends nothing for this long fails."""

_KEEP_SECONDS = 5.0
"""A connection without a request stays open for this long. Many servers close theirs afterwards."""

_MAX_HEADER_BYTES = 64 * 1024


class ProviderConnections:
    """Belongs to one event loop."""

    def __init__(self, provider: Provider) -> None:
        self._provider, self._room = provider, asyncio.Semaphore(MAX_CONNECTIONS)
        is_secure = urlsplit(provider.base_url).scheme == "https"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,  # The semaphore counts them, so that those who wait for room are told so.
                keepalive_timeout=_KEEP_SECONDS,
                # Without TLS there is no certificate to check, and reading all authorities takes 20 ms.
                ssl=httpx.create_ssl_context() if is_secure else True,
            ),
            headers={"User-Agent": f"llmos/{__version__}"},
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            # A proxy would read the key of whatever isn't encrypted.
            proxy=_proxy_of(provider.base_url) if is_secure else None,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )

    @asynccontextmanager
    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request. The body begins with the head of the response; leaving it earlier than its end hangs up.

        Raises Unavailable and ProviderFailed, also out of reading the response in the body.
        """
        url = URL(self._provider.base_url + path, encoded=True)
        with _named(self._provider):
            await self._wait_for_room()
            try:
                async with self._session.request(
                    method, url, data=body, headers=headers, allow_redirects=False
                ) as response:
                    yield response
            finally:
                self._room.release()

    async def close(self) -> None:
        await self._session.close()

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._room.acquire()
        except TimeoutError:
            raise Unavailable(
                f"All {MAX_CONNECTIONS} connections to the provider {self._provider.name} are in use. Try again.",
                retry_after_seconds=1,
            ) from None


def _proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for a URL: HTTPS_PROXY or ALL_PROXY, unless NO_PROXY has the host."""
    host = urlsplit(url).hostname or ""
    proxies = getproxies()
    proxy = proxies.get("https") or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


@contextmanager
def _named(provider: Provider) -> Iterator[None]:
    """Turn errors of the connection into errors that name the provider."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError:
        raise unreachable(provider, f"nothing answers within {CONNECT_SECONDS:g} seconds") from None
    except aiohttp.ServerTimeoutError:
        raise too_slow(provider, SILENCE_SECONDS) from None
    except aiohttp.ClientConnectorCertificateError as error:
        raise unreachable(provider, str(error.certificate_error)) from None
    except aiohttp.ClientConnectorError as error:
        raise unreachable(provider, _reason(error.os_error)) from None
    except (aiohttp.ClientError, ssl.SSLError) as error:
        raise ProviderFailed(
            f"The connection to the provider {provider.name} broke off ({type(error).__name__}). Try again."
        ) from None


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or "no connection"
