"""ProviderClients: runs requests at providers, with one HTTP client per provider, and yields a replica's events.

Redirects are not followed, so that a key is sent only to the address that its owner gave. No error message and no log
line contains a key.
"""

import asyncio
import math
import ssl
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from llmos import __version__
from llmos.client.events import EventDecoder
from llmos.core.clock import Clock, utc_now
from llmos.core.errors import LLMOSError, ProviderFailed, RateLimited, Unavailable
from llmos.deployments.providers.anthropic import AnthropicFormat
from llmos.deployments.providers.failures import error_in_stream, error_of, too_slow, unreachable
from llmos.deployments.providers.openai import OpenAIFormat
from llmos.deployments.providers.provider_model import Kind, Provider, ProviderModel
from llmos.deployments.providers.providers import Providers
from llmos.deployments.providers.request_format import RequestFormat
from llmos.engine.messages import Delta, Event, Generate, Started

MAX_CONNECTIONS = 100
"""Open connections to one provider."""

CONNECT_SECONDS = 10.0

SILENCE_SECONDS = 300.0
"""A request to a provider that sends nothing for this long fails."""

MAX_RETRY_AFTER_SECONDS = 60.0
"""The longest Retry-After of a provider that is honoured."""

MAX_ERROR_BYTES = 64 * 1024
MAX_LIST_BYTES = 8 * 2**20

_FORMATS: dict[Kind, type[RequestFormat]] = {"openai": OpenAIFormat, "anthropic": AnthropicFormat}


class ProviderClients:
    """Belongs to the event loop's thread."""

    def __init__(self, providers: Providers, *, clock: Clock = utc_now) -> None:
        self._providers, self._clock = providers, clock
        self._clients: dict[tuple[str, str], httpx.AsyncClient] = {}
        self._retry_at: dict[str, float] = {}
        """The end of each provider's Retry-After, on the monotonic clock."""

    async def generate(
        self, model: ProviderModel, request: Generate, given: frozenset[str]
    ) -> AsyncGenerator[Event, None]:
        """Yield Started when the provider has accepted the request, then Deltas until every choice has its
        finish_reason, and Counted before the last of them. Closing the generator hangs up.

        `given`: the sampling parameters that the caller named. Raises BadRequest, by name, for what the provider can't
        do, and what went wrong there as an error that names it.
        """
        provider = model.provider
        format = _FORMATS[provider.kind](model, request, given)
        body = msgspec.json.encode(format.body())
        self._check_retry_at(provider)
        key = await self._key_of(provider)
        headers = {**format.headers(key), "Content-Type": "application/json", "Accept": "text/event-stream"}
        call = self._client(provider).stream("POST", provider.base_url + format.path(), content=body, headers=headers)
        with _named(provider):
            async with call as response:
                if response.status_code != 200:
                    raise await self._refusal(provider, response, key)
                kind = response.headers.get("content-type", "")
                if "text/event-stream" not in kind:
                    raise ProviderFailed(
                        f"The provider {provider.name} answers with {kind or 'no content type'} instead of a stream"
                        " of events. Check its --base-url and --kind."
                    )
                yield Started(request.id, 0)
                decoder = EventDecoder()
                async for chunk in response.aiter_bytes():
                    for data in decoder.feed(chunk):
                        for event in _events(provider, format, data, key):
                            yield event
        for event in _last_events(provider, format):
            yield event

    async def models(self, provider: Provider) -> list[str]:
        """Return the names of the provider's models. Raises what is wrong with the connection or the key."""
        key = await self._key_of(provider)
        headers = _FORMATS[provider.kind].headers(key)
        call = self._client(provider).stream("GET", f"{provider.base_url}/models", headers=headers)
        with _named(provider):
            async with call as response:
                if response.status_code != 200:
                    raise await self._refusal(provider, response, key)
                body = await _read_at_most(response, MAX_LIST_BYTES)
        try:
            return sorted(str(each["id"]) for each in msgspec.json.decode(body)["data"])
        except (msgspec.MsgspecError, KeyError, TypeError, UnicodeError):
            raise ProviderFailed(
                f"{provider.base_url}/models does not answer like an API of the kind {provider.kind}. Check the"
                " provider's --base-url and --kind."
            ) from None

    async def close(self) -> None:
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    def _client(self, provider: Provider) -> httpx.AsyncClient:
        client = self._clients.get((provider.name, provider.base_url))
        if client is None:
            is_secure = urlsplit(provider.base_url).scheme == "https"
            client = self._clients[provider.name, provider.base_url] = httpx.AsyncClient(
                headers={"User-Agent": f"llmos/{__version__}"},
                timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS),
                limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=20),
                follow_redirects=False,
                # A proxy would read the key of whatever isn't encrypted.
                trust_env=is_secure,
                # Without TLS there is no certificate to check, and reading all authorities takes 20 ms.
                verify=is_secure or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            )
        return client

    async def _key_of(self, provider: Provider) -> str | None:
        return await asyncio.to_thread(self._providers.key_of, provider)

    def _check_retry_at(self, provider: Provider) -> None:
        """Raise RateLimited until the time that the provider asked to wait for."""
        seconds = self._retry_at.get(provider.name, 0) - time.monotonic()
        if seconds > 0:
            raise RateLimited(
                f"The provider {provider.name} asks to wait {seconds:.0f} more seconds. Try again then.",
                retry_after_seconds=seconds,
            )

    async def _refusal(self, provider: Provider, response: httpx.Response, key: str | None) -> LLMOSError:
        seconds = self._retry_after(response)
        if response.status_code in (429, 503, 529) and seconds is not None:
            self._retry_at[provider.name] = time.monotonic() + min(seconds, MAX_RETRY_AFTER_SECONDS)
        body = (await _read_at_most(response, MAX_ERROR_BYTES)).decode(errors="replace")
        return error_of(provider, response.status_code, _without(key, body).encode(), seconds)

    def _retry_after(self, response: httpx.Response) -> float | None:
        """Return how many seconds the provider asks to wait; the header holds seconds or a date."""
        value = response.headers.get("retry-after", "")
        try:
            seconds = float(value)
        except ValueError:
            try:
                seconds = (parsedate_to_datetime(value) - self._clock()).total_seconds()
            except (ValueError, TypeError):
                return None
        return max(0.0, seconds) if math.isfinite(seconds) else None


def _events(provider: Provider, format: RequestFormat, data: str, key: str | None) -> Iterator[Event]:
    if data == "[DONE]":
        return
    with _malformed_as_failure(provider):
        event: Any = msgspec.json.decode(data)
        if not isinstance(event, dict):
            raise TypeError
        if event.get("error") is not None:
            raise error_in_stream(provider, msgspec.json.decode(_without(key, data))["error"])
        for each in format.read(event):
            _check_texts(each)
            yield each


def _last_events(provider: Provider, format: RequestFormat) -> Iterator[Event]:
    with _malformed_as_failure(provider):
        yield from format.end()


@contextmanager
def _malformed_as_failure(provider: Provider) -> Iterator[None]:
    """Turn errors in parsing the stream into ProviderFailed."""
    try:
        yield
    except (msgspec.MsgspecError, AttributeError, TypeError, ValueError):
        raise ProviderFailed(
            f"The provider {provider.name} sent an event that its API does not have. Check its --kind."
        ) from None


def _check_texts(event: Event) -> None:
    """Raise TypeError for an event whose texts are not strings."""
    if isinstance(event, Delta):
        calls = [text for call in event.tool_calls for text in (call.id, call.name, call.arguments)]
        if not all(isinstance(text, str) for text in (event.text, event.reasoning, *calls)):
            raise TypeError


def _without(key: str | None, text: str) -> str:
    """Remove the key from a provider's message, which may quote it."""
    return text if key is None else text.replace(key, "(the key)")


async def _read_at_most(response: httpx.Response, limit_bytes: int) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit_bytes:
            break
    return body


@contextmanager
def _named(provider: Provider) -> Iterator[None]:
    """Turn connection errors into errors that name the provider."""
    try:
        yield
    except httpx.PoolTimeout:
        raise Unavailable(
            f"All {MAX_CONNECTIONS} connections to the provider {provider.name} are in use. Try again.",
            retry_after_seconds=1,
        ) from None
    except httpx.ConnectTimeout:
        raise unreachable(provider, f"nothing answers within {CONNECT_SECONDS:g} seconds") from None
    except httpx.TimeoutException:
        raise too_slow(provider, SILENCE_SECONDS) from None
    except httpx.ConnectError as error:
        raise unreachable(provider, str(error) or "no connection") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderFailed(
            f"The connection to the provider {provider.name} broke off ({type(error).__name__}). Try again."
        ) from None
