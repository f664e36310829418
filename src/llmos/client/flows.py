"""The protocol of a call without input and output: a generator that yields steps and receives their results.

    Send      send the request; receives the response, with its body read if it is an error or isn't streamed
    Read      read from the body; receives the next bytes, or None at its end
    Wait      sleep
    Emit      give a value to the caller

A step that fails raises httpx's error inside the flow. The rules of retries and of streams are therefore written once;
the blocking and the asynchronous client differ only in how they run a step.
"""

import json
import logging
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

import httpx

from llmos.client.call import Call, DownloadCall, StreamedCall
from llmos.client.draft import Draft, MalformedReply
from llmos.client.events import EventDecoder
from llmos.client.retry import RetryPolicy
from llmos.client.server_errors import parse_error
from llmos.core.errors import BadRequest, ConnectionFailed, LLMOSError, RequestTimeout

T = TypeVar("T")

_log = logging.getLogger(__name__)

_ERRNO = re.compile(r"^\[Errno -?\d+\] ")
"""Numbers that the system puts before its messages, and that help nobody."""


@dataclass(frozen=True, slots=True)
class Send:
    method: str
    path: str
    body: bytes | None
    is_streamed: bool
    more_headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        own = {} if self.body is None else {"Content-Type": "application/json"}
        return own | dict(self.more_headers)


@dataclass(frozen=True, slots=True)
class Read:
    pass


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True)
class Emit(Generic[T]):
    value: T


Flow = Generator[Send | Read | Wait | Emit[T], Any, None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientOptions:
    """The options of all calls to one server."""

    endpoint: str
    read_timeout_seconds: float
    retry: RetryPolicy


def request(call: Call[T], options: ClientOptions) -> Flow[T]:
    """Emit the result of the call, once."""

    def attempt() -> Flow[T]:
        response = yield from _send(call, options, is_streamed=False)
        yield Emit(call.read(_decoded(response.content) if response.content else None))

    return _with_retries(attempt, options)


def stream(call: StreamedCall, draft: Draft, options: ClientOptions) -> Flow[str]:
    """Emit "" when the server has accepted the call, then each piece of the answer's text, and update the draft.

    A failure before the first piece is retried. A failure after it isn't: the caller has seen text that another attempt
    might contradict.
    """

    def attempt() -> Flow[str]:
        response = yield from _send(call, options, is_streamed=True)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            raise MalformedReply
        yield Emit("")
        yield from _pieces(call, draft)

    return _with_retries(attempt, options, has_emitted=lambda: draft.has_begun)


def download(call: DownloadCall, options: ClientOptions) -> Flow[bytes]:
    """Emit the bytes of the answer as they arrive. A failure after the first ones isn't retried."""
    has_begun = False

    def attempt() -> Flow[bytes]:
        nonlocal has_begun
        yield from _send(call, options, is_streamed=True)
        while (piece := (yield Read())) is not None:
            has_begun = True
            yield Emit(piece)

    return _with_retries(attempt, options, has_emitted=lambda: has_begun)


def events(call: DownloadCall, options: ClientOptions) -> Flow[Any]:
    """Emit the decoded JSON of each server-sent event. A failure after the first one isn't retried."""
    has_begun = False

    def attempt() -> Flow[Any]:
        nonlocal has_begun
        yield from _send(call, options, is_streamed=True)
        decoder = EventDecoder()
        while (chunk := (yield Read())) is not None:
            for data in decoder.feed(chunk):
                has_begun = True
                yield Emit(_decoded(data))

    return _with_retries(attempt, options, has_emitted=lambda: has_begun)


def _with_retries(
    attempt: Callable[[], Flow[T]], options: ClientOptions, has_emitted: Callable[[], bool] = lambda: False
) -> Flow[T]:
    num_failures = 0
    while True:
        try:
            yield from attempt()
            return
        except MalformedReply:
            raise ConnectionFailed(_describe_malformed(options)) from None
        except httpx.ReadTimeout:
            # Not retried: a second request doesn't help a server that is too busy for the first.
            raise RequestTimeout(
                f"{options.endpoint} sent no data for {options.read_timeout_seconds:g} seconds. "
                "Ask for fewer tokens, or give the client a longer timeout_seconds."
            ) from None
        except httpx.RequestError as failure:
            error: LLMOSError = ConnectionFailed(_describe_failure(failure, options, has_emitted()))
        except LLMOSError as failure:
            error = failure
        num_failures += 1
        delay = None if has_emitted() else options.retry.delay_seconds(error, num_failures)
        if delay is None:
            raise error
        _log.info("%s Trying again in %.0f s.", error.message, delay)
        yield Wait(delay)


def _send(
    call: Call[Any] | StreamedCall | DownloadCall, options: ClientOptions, *, is_streamed: bool
) -> Generator[Send, Any, httpx.Response]:
    """Return the response, through `yield from`. Raises the error that the server answered with."""
    body = call.content if call.content is not None else _encoded(call.body)
    response: httpx.Response = yield Send(call.method, call.path, body, is_streamed, call.headers)
    if not response.is_success:
        raise _server_error(response, options)
    return response


def _encoded(body: Any) -> bytes | None:
    """Return the body as JSON. Raises BadRequest for values that JSON can't represent."""
    if body is None:
        return None
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        advice = "Send valid Unicode."
        raise BadRequest(f"The text contains half of a surrogate pair, which isn't a character. {advice}") from None
    except ValueError as error:
        raise BadRequest(f"The request can't be written as JSON: {error}.") from None


def _pieces(call: StreamedCall, draft: Draft) -> Flow[str]:
    decoder = EventDecoder()
    while True:
        chunk: bytes | None = yield Read()
        if chunk is None:
            raise httpx.RemoteProtocolError("the stream ended before the answer did")
        for data in decoder.feed(chunk):
            if data == "[DONE]":
                draft.finished()
                # Reading to the end lets the connection be reused. The answer is complete either way.
                with suppress(httpx.RequestError):
                    while (yield Read()) is not None:
                        pass
                return
            event = _decoded(data)
            if isinstance(event, dict) and event.get("error"):
                raise parse_error(500, event)
            if piece := call.read_event(event, draft):
                draft.text += piece
                yield Emit(piece)


def _decoded(body: str | bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise MalformedReply from None


def _server_error(response: httpx.Response, options: ClientOptions) -> LLMOSError:
    if response.is_redirect:
        # Not followed: the key is for this endpoint only.
        target = response.headers["location"]
        return BadRequest(f"{options.endpoint} redirects to {target}. Use that as the endpoint if you trust it.")
    try:
        body = _decoded(response.content)
    except MalformedReply:
        body = None
    if not (isinstance(body, dict) and isinstance(body.get("error"), dict)):
        # From a proxy or another program.
        body = {"error": {"message": f"{response.url} answered with status {response.status_code} and no LLMOS error."}}
    return parse_error(response.status_code, body, retry_after_seconds=_retry_after_seconds(response))


def _retry_after_seconds(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after")
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # not a date, or a date without a time zone
        return None


def _describe_failure(failure: httpx.RequestError, options: ClientOptions, has_emitted: bool) -> str:
    reason = _ERRNO.sub("", str(failure)) or type(failure).__name__
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return (
            f"The certificate of {options.endpoint} isn't trusted ({reason}). If it is your server, set ca=… or "
            "LLMOS_CA to the file of its certificate, or of the authority that signed it."
        )
    if "[SSL: " in reason:
        return f"{options.endpoint} doesn't speak TLS ({reason}). If the server has no certificate, write http://."
    if isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout):
        return (
            f"No server answers at {options.endpoint} ({reason}). Start one with `llmos serve`, "
            "or set LLMOS_ENDPOINT to the address of another."
        )
    where = "during the answer" if has_emitted else "before an answer arrived"
    is_plain = options.endpoint.startswith("http:") and not has_emitted
    hint = "If it serves HTTPS, write https://. " if is_plain and isinstance(failure, httpx.RemoteProtocolError) else ""
    return (
        f"The connection to {options.endpoint} was lost {where} ({reason}). {hint}"
        "Run `llmos ps` to check whether the server is running; `llmos serve` starts one."
    )


def _describe_malformed(options: ClientOptions) -> str:
    return (
        f"The reply of {options.endpoint} is not one of an LLMOS server of this version. "
        "Check the endpoint; `llmos serve` starts a server."
    )
