"""ProviderClients: runs requests at providers, each over connections of its own, and yields a replica's events.

No error message and no log line contains a key.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from llmos.client.events import EventDecoder
from llmos.core.clock import Clock, utc_now
from llmos.core.errors import LLMOSError, ProviderFailed, RateLimited
from llmos.core.per_loop import PerLoop
from llmos.deployments.joining import joined
from llmos.deployments.providers.anthropic import AnthropicFormat
from llmos.deployments.providers.failures import error_in_stream, error_of
from llmos.deployments.providers.open_inference.format import OpenInferenceFormat
from llmos.deployments.providers.open_inference.server import OpenInferenceServer
from llmos.deployments.providers.openai import OpenAIFormat
from llmos.deployments.providers.provider_model import Kind, Provider, ProviderModel
from llmos.deployments.providers.providers import Providers
from llmos.deployments.providers.request_format import RequestFormat
from llmos.engine.messages import Delta, Event, Generate, Started

if TYPE_CHECKING:  # aiohttp takes 0.4 s to import, and most servers forward nothing.
    import aiohttp

    from llmos.deployments.providers.connections import ProviderConnections

MAX_RETRY_AFTER_SECONDS = 60.0
"""The longest Retry-After of a provider that is honoured."""

MAX_ERROR_BYTES = 64 * 1024
MAX_LIST_BYTES = 8 * 2**20
MAX_ANSWER_BYTES = 8 * 2**20

_FORMATS: Mapping[Kind, type[RequestFormat]] = {"openai": OpenAIFormat, "anthropic": AnthropicFormat}
"""The formats of providers that need no information about a model."""

_MAX_SERVERS = 100


Connections = dict[tuple[str, str], "ProviderConnections"]
"""By the provider's name and base URL."""


class ProviderClients:
    """Has connections for each event loop that uses it."""

    def __init__(self, providers: Providers, *, clock: Clock = utc_now) -> None:
        self._providers, self._clock = providers, clock
        self._connections: PerLoop[Connections] = PerLoop(dict, _close_all)
        self._retry_at: dict[str, float] = {}
        """The end of each provider's Retry-After, on the monotonic clock."""
        self._servers: dict[Provider, OpenInferenceServer] = {}

    async def generate(
        self, model: ProviderModel, request: Generate, given: frozenset[str]
    ) -> AsyncGenerator[Event, None]:
        """Yield Started when the provider has accepted the request, then Deltas until every choice has its
        finish_reason, and Counted before the last of them, with what the provider reports. Closing the generator hangs
        up.

        `given`: the sampling parameters that the caller named. Raises BadRequest, by name, for what the provider can't
        do, and what went wrong there as an error that names it.
        """
        provider = model.provider
        self._check_retry_at(provider)
        format = await self._format(model, request, given)
        body = msgspec.json.encode(format.body())
        key = await self._key_of(provider)
        expected = "text/event-stream" if format.is_streamed else "application/json"
        headers = {**format.headers(key), "Content-Type": "application/json", "Accept": expected}
        call = self._connections_to(provider).request("POST", format.path(), headers, body)
        async with call as response:
            if response.status != 200:
                self._forget(model)
                raise await self._refusal(provider, response, key)
            kind = response.headers.get("content-type", "")
            if expected not in kind:
                raise ProviderFailed(
                    f"The provider {provider.name} answers with {kind or 'no content type'} instead of"
                    f" {'a stream of events' if format.is_streamed else expected}. Check its --base-url and --kind."
                )
            yield Started(request.id, 0)
            async for texts in _texts(response, format):
                for event in joined(_events(provider, format, texts, key), request.sampling.max_tokens):
                    yield event
        for event in _last_events(provider, format):
            yield event

    async def models(self, provider: Provider) -> list[str]:
        """Return the names of the provider's models. Raises what is wrong with the connection or the key."""
        if provider.kind == "open-inference":
            return await self._server(provider).models()
        key = await self._key_of(provider)
        headers = _FORMATS[provider.kind].headers(key)
        async with self._connections_to(provider).request("GET", "/models", headers) as response:
            if response.status != 200:
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
        await self._connections.close()

    def _connections_to(self, provider: Provider) -> "ProviderConnections":
        from llmos.deployments.providers.connections import ProviderConnections

        connections, place = self._connections.get(), (provider.name, provider.base_url)
        if (found := connections.get(place)) is None:
            found = connections[place] = ProviderConnections(provider)
        return found

    async def _format(self, model: ProviderModel, request: Generate, given: frozenset[str]) -> RequestFormat:
        if model.provider.kind == "open-inference":
            description = await self._server(model.provider).describe(model.name)
            return OpenInferenceFormat(model, request, given, description)
        return _FORMATS[model.provider.kind](model, request, given)

    def _server(self, provider: Provider) -> OpenInferenceServer:
        if (found := self._servers.get(provider)) is None:
            if len(self._servers) >= _MAX_SERVERS:  # A provider that was changed is another one.
                self._servers.clear()
            found = self._servers[provider] = OpenInferenceServer(provider, partial(self._fetch, provider))
        return found

    def _forget(self, model: ProviderModel) -> None:
        if model.provider in self._servers:
            self._servers[model.provider].forget(model.name)

    async def _fetch(self, provider: Provider, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        key = await self._key_of(provider)
        headers = OpenInferenceFormat.headers(key)
        async with self._connections_to(provider).request(method, path, headers, body) as response:
            read = await _read_at_most(response, MAX_LIST_BYTES)
            return response.status, read if response.status == 200 else _without(
                key, read.decode(errors="replace")
            ).encode()

    async def _key_of(self, provider: Provider) -> str | None:
        """Return the provider's key. Only one that isn't known yet waits for the database."""
        if not provider.has_key:
            return None
        if (key := self._providers.remembered_key(provider)) is not None:
            return key
        return await asyncio.to_thread(self._providers.key_of, provider)

    def _check_retry_at(self, provider: Provider) -> None:
        """Raise RateLimited until the time that the provider asked to wait for."""
        seconds = self._retry_at.get(provider.name, 0) - time.monotonic()
        if seconds > 0:
            raise RateLimited(
                f"The provider {provider.name} asks to wait {seconds:.0f} more seconds. Try again then.",
                retry_after_seconds=seconds,
            )

    async def _refusal(self, provider: Provider, response: "aiohttp.ClientResponse", key: str | None) -> LLMOSError:
        seconds = self._retry_after(response)
        if response.status in (429, 503, 529) and seconds is not None:
            self._retry_at[provider.name] = time.monotonic() + min(seconds, MAX_RETRY_AFTER_SECONDS)
        body = (await _read_at_most(response, MAX_ERROR_BYTES)).decode(errors="replace")
        return error_of(provider, response.status, _without(key, body).encode(), seconds)

    def _retry_after(self, response: "aiohttp.ClientResponse") -> float | None:
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


async def _close_all(connections: Connections) -> None:
    for each in connections.values():
        await each.close()


async def _texts(response: "aiohttp.ClientResponse", format: RequestFormat) -> AsyncGenerator[list[str], None]:
    """Yield the JSON of the events as they arrive, or of the whole answer."""
    if not format.is_streamed:
        yield [(await _read_at_most(response, MAX_ANSWER_BYTES)).decode(errors="replace")]
        return
    decoder = EventDecoder()
    async for chunk in response.content.iter_any():
        yield decoder.feed(chunk)


def _events(provider: Provider, format: RequestFormat, texts: Sequence[str], key: str | None) -> Iterator[Event]:
    """Yield what the data of server-sent events say."""
    with _malformed_as_failure(provider):
        for data in texts:
            if data == "[DONE]":
                continue
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
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError, ValueError):
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


async def _read_at_most(response: "aiohttp.ClientResponse", limit_bytes: int) -> bytes:
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit_bytes:
            break
    return body
