"""Responses that run a call: one JSON document or a stream of events, for as long as the caller stays connected."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmos.core.connected import while_connected
from llmos.core.errors import LLMOSError
from llmos.core.money import format_nanos
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.cache_control import parse_cache_control
from llmos.gateway.calls.call import Call
from llmos.gateway.calls.embedding import Embeddings
from llmos.gateway.calls.rating import Ratings
from llmos.gateway.http import errors
from llmos.gateway.http.error_formats import openai_error
from llmos.gateway.http.ignored import ignored_fields

VERSION_HEADER = "llmos-version"
"""The response header with the version that answered, such as smollm2@1, or remote:PROVIDER/MODEL."""

CACHE_HEADER = "llmos-cache"
"""The response header of routes with a response cache: hit or miss."""

COST_HEADER = "llmos-cost"
"""The response header of whole answers with what they cost, such as "0.000012 EUR", where a price applies."""

RECEIPT_HEADER = "x-llmos-receipt"
"""The response header with the path of the answer's receipt, which is there when the answer has ended."""

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode

# Legal in JSON, but many parsers of event streams treat them as line breaks.
_LINE_ENDS = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


class AnswerRenderer(ABC):
    """Renders answers in one wire format. By default, a stream consists of server-sent events and ends with [DONE]."""

    stream_type: ClassVar[str] = "text/event-stream; charset=utf-8"

    @abstractmethod
    def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        """Yield the encoded events, without what `end` returns."""

    @abstractmethod
    async def complete(self, answer: Answer) -> bytes:
        """Return the answer as one JSON document."""

    def end(self) -> bytes:
        """Return the bytes after the last event of a complete stream."""
        return DONE

    def failure(self, error: LLMOSError) -> bytes:
        """Return the bytes that end a stream in which `error` was raised."""
        return event(openai_error(error))


def encode(value: Any) -> bytes:
    """Return `value` as JSON on one line, without any character that a parser may treat as a line break."""
    encoded = _encode(value)
    if not encoded.isascii():
        for raw, escaped in _LINE_ENDS:
            encoded = encoded.replace(raw, escaped)
    return encoded


def event(value: Any, name: str | None = None) -> bytes:
    """Return `value` as a server-sent event."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + encode(value) + b"\n\n"


class Generator(Protocol):
    """The object that runs a call: the pipeline, or something that runs several through it."""

    def generate(self, call: Call, *, is_streamed: bool = True) -> AbstractAsyncContextManager[Answer]: ...


class AnswerResponse(Response):
    """Runs a call through the pipeline and sends the answer. Cancels the call as soon as the caller hangs up."""

    def __init__(self, pipeline: Generator, call: Call, renderer: AnswerRenderer, *, stream: bool) -> None:
        # Not Response's, which makes headers for a body that isn't there yet.
        self.status_code, self.background, self.body = 200, None, b""
        self.raw_headers = []
        self._pipeline, self._call, self._renderer, self._stream = pipeline, call, renderer, stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._call = with_cache_control(self._call, scope)
        await while_connected(
            receive, self._send_events(scope, send) if self._stream else self._send_whole(scope, send)
        )

    async def _send_whole(self, scope: Scope, send: Send) -> None:
        async with self._pipeline.generate(self._call, is_streamed=False) as answer:
            body = await self._renderer.complete(answer)
        ignored_fields(scope).extend(answer.ignored)
        more = cache_headers(answer) | receipt_headers(answer) | cost_headers(answer)
        await _send_json(send, body, {VERSION_HEADER: answer.served.ref, **more})

    async def _send_events(self, scope: Scope, send: Send) -> None:
        has_begun = False
        try:
            async with (
                self._pipeline.generate(self._call) as answer,
                aclosing(self._renderer.events(answer)) as chunks,
            ):
                async for chunk in chunks:
                    if not has_begun:
                        ignored_fields(scope).extend(answer.ignored)
                        # The response starts with the first chunk, so that an error before it keeps its own status.
                        await send(
                            {"type": "http.response.start", "status": 200, "headers": self._stream_headers(answer)}
                        )
                        has_begun = True
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            last = self._renderer.end()
        except LLMOSError as error:
            if not has_begun:
                raise
            last = self._renderer.failure(error)
        except Exception:
            if has_begun:
                last = self._renderer.failure(errors.internal_error(scope))
                await send({"type": "http.response.body", "body": last})
            raise
        await send({"type": "http.response.body", "body": last})

    def _stream_headers(self, answer: Answer) -> list[tuple[bytes, bytes]]:
        stream_type = self._renderer.stream_type.encode()
        version = (VERSION_HEADER.encode(), answer.served.ref.encode())
        plain = [(b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
        more = cache_headers(answer) | receipt_headers(answer)
        added = [(name.encode(), value.encode()) for name, value in more.items()]
        return [(b"content-type", stream_type), version, *added, *plain]


def receipt_headers(answer: Answer | Embeddings | Ratings) -> dict[str, str]:
    """Return the header that says where the receipt is, if one is made."""
    return {RECEIPT_HEADER: receipt_path(answer)} if answer.has_receipt else {}


def cost_headers(answer: Answer | Embeddings | Ratings) -> dict[str, str]:
    """Return the header that says what an answer costs, which is known when it has ended."""
    charge = answer.attempt.charge
    return {} if charge is None else {COST_HEADER: f"{format_nanos(charge.cost_nanos)} {charge.currency}"}


def receipt_path(answer: Answer | Embeddings | Ratings) -> str:
    return f"/llmos/v1/answers/{answer.id}/receipt"


@dataclass(frozen=True, slots=True)
class Work:
    """A JSON document, and the headers that it is sent with."""

    body: bytes
    headers: Mapping[str, str]


def embedded(embeddings: Embeddings, value: Any) -> Work:
    """Return `value`, which tells what the embeddings are, as JSON, with the headers of embeddings."""
    return Work(encode(value), receipt_headers(embeddings) | cost_headers(embeddings))


class WorkResponse(Response):
    """Sends the JSON document that `work` returns. Cancels the work as soon as the caller hangs up."""

    def __init__(self, work: Callable[[], Awaitable[bytes | Work]]) -> None:
        super().__init__()
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self._send(scope, send))

    async def _send(self, scope: Scope, send: Send) -> None:
        done = await self._work()
        body, headers = (done, {}) if isinstance(done, bytes) else (done.body, done.headers)
        await _send_json(send, body, headers)


def with_cache_control(call: Call, scope: Scope) -> Call:
    """Return the call with what its request asks of the response cache."""
    control = parse_cache_control(Headers(scope=scope))
    return call if control == call.cache_control else replace(call, cache_control=control)


def cache_headers(answer: Answer) -> dict[str, str]:
    """Return the headers that say whether the answer comes out of the response cache. None if it wasn't asked."""
    if answer.attempt.is_from_cache is None:
        return {}
    if answer.cache_age_seconds is None:
        return {CACHE_HEADER: "miss"}
    return {CACHE_HEADER: "hit", "age": str(int(answer.cache_age_seconds))}


async def _send_json(send: Send, body: bytes, headers: Mapping[str, str]) -> None:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    raw += [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": raw})
    await send({"type": "http.response.body", "body": body})
