"""The course of a call, free of input and output: a generator that asks for steps and is told how they went.

    Send      send the request; told the response, with its body read when it is an error or a plain reply
    Read      read on; told the next bytes of the body, or None at its end
    Wait      wait this long
    Say       give this to the caller

A step that fails raises httpx's error inside the flow. So the rules of retrying and of reading streams stand here
once, and the blocking and the asynchronous client differ only in how they carry out a step.
"""

import json
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

import httpx

from llmos.client.calls import Call, StreamedCall
from llmos.client.draft import Draft, MalformedReply
from llmos.client.events import EventDecoder
from llmos.client.retry import RetryPolicy
from llmos.client.server_errors import parse_error
from llmos.core.errors import BadRequest, ConnectionFailed, LLMOSError, RequestTimeout

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    method: str
    path: str
    body: bytes | None
    is_streamed: bool

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.body is None else {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Read:
    pass


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True)
class Say(Generic[T]):
    value: T


Flow = Generator[Send | Read | Wait | Say[T], Any, None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Conduct:
    """How calls to one server are conducted."""

    endpoint: str
    read_timeout_seconds: float
    retry: RetryPolicy


def ask(call: Call[T], conduct: Conduct) -> Flow[T]:
    """Say the call's result, once."""

    def attempt() -> Flow[T]:
        response = yield from _send(call, conduct, is_streamed=False)
        yield Say(call.read(_decoded(response.content) if response.content else None))

    return _with_retries(attempt, conduct)


def listen(call: StreamedCall, draft: Draft, conduct: Conduct) -> Flow[str]:
    """Say "" once the server has accepted the call, then each piece of the answer's text, keeping the draft up to date.

    Before the first piece a failure is retried like any other. After it never: the caller has seen text that another
    try might contradict.
    """

    def attempt() -> Flow[str]:
        response = yield from _send(call, conduct, is_streamed=True)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            raise MalformedReply
        yield Say("")
        yield from _pieces(call, draft)

    return _with_retries(attempt, conduct, has_spoken=lambda: draft.has_begun)


def _with_retries(
    attempt: Callable[[], Flow[T]], conduct: Conduct, has_spoken: Callable[[], bool] = lambda: False
) -> Flow[T]:
    num_failures = 0
    while True:
        try:
            yield from attempt()
            return
        except MalformedReply:
            raise ConnectionFailed(_not_ours(conduct)) from None
        except httpx.ReadTimeout:
            # Not tried again: a server that is too busy for one request is not helped by a second.
            raise RequestTimeout(
                f"{conduct.endpoint} sent nothing for {conduct.read_timeout_seconds:g} seconds. "
                "Ask for fewer tokens, or give the client a longer timeout_seconds."
            ) from None
        except httpx.RequestError as failure:
            error: LLMOSError = ConnectionFailed(_what_failed(failure, conduct, has_spoken()))
        except LLMOSError as failure:
            error = failure
        num_failures += 1
        delay = None if has_spoken() else conduct.retry.delay_seconds(error, num_failures)
        if delay is None:
            raise error
        yield Wait(delay)


def _send(
    call: Call[Any] | StreamedCall, conduct: Conduct, *, is_streamed: bool
) -> Generator[Send, Any, httpx.Response]:
    """Return the response (through `yield from`). Raises the error that the server answered with."""
    response: httpx.Response = yield Send(call.method, call.path, _encoded(call.body), is_streamed)
    if not response.is_success:
        raise _server_error(response, conduct)
    return response


def _encoded(body: Any) -> bytes | None:
    """Return the body as JSON. Raises BadRequest for what JSON can't carry."""
    if body is None:
        return None
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        advice = "Send valid Unicode."
        raise BadRequest(f"The text holds half of a surrogate pair, which is no character. {advice}") from None
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
                # The connection can serve the next call once its end has been read; the answer is whole either way.
                with suppress(httpx.RequestError):
                    while (yield Read()) is not None:
                        pass
                return
            event = _decoded(data)
            if isinstance(event, dict) and event.get("error"):
                raise parse_error(500, event)
            if piece := call.read_event(event, draft):
                draft.text += piece
                yield Say(piece)


def _decoded(body: str | bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise MalformedReply from None


def _server_error(response: httpx.Response, conduct: Conduct) -> LLMOSError:
    if response.is_redirect:
        # Not followed: the key was meant for this endpoint and for no other.
        target = response.headers["location"]
        return BadRequest(f"{conduct.endpoint} redirects to {target}. Use that as the endpoint if you trust it.")
    try:
        body = _decoded(response.content)
    except MalformedReply:
        body = None
    if not (isinstance(body, dict) and isinstance(body.get("error"), dict)):
        # A proxy's page, or some other program's.
        body = {"error": {"message": f"{response.url} answered with status {response.status_code}, unlike LLMOS does."}}
    return parse_error(response.status_code, body, retry_after_seconds=_retry_after_seconds(response))


def _retry_after_seconds(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after")
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # not a date, or one without its zone
        return None


def _what_failed(failure: httpx.RequestError, conduct: Conduct, has_spoken: bool) -> str:
    reason = str(failure) or type(failure).__name__
    if isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout):
        return (
            f"No server answers at {conduct.endpoint} ({reason}). Start one with `llmos serve`, "
            "or name another with endpoint=… or LLMOS_ENDPOINT."
        )
    where = "in the middle of the answer" if has_spoken else "before an answer came"
    return (
        f"The connection to {conduct.endpoint} broke off {where} ({reason}). "
        "See whether the server still runs with `llmos ps`; `llmos serve` starts one."
    )


def _not_ours(conduct: Conduct) -> str:
    return (
        f"What answers at {conduct.endpoint} does not talk like an LLMOS server of this version. "
        "Check the endpoint; `llmos serve` starts a server."
    )
