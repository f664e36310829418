"""HttpProtocol: uvicorn's reading of HTTP/1.1 from a connection, corrected where it loses or misreads requests.

- A request that offers an upgrade (Java's HttpClient offers h2c with each request) is answered as if it did not.
  httptools skips the body of such a request, and then reads it as the next request of the connection.
- Framing that a proxy might read otherwise is refused: a transfer coding besides chunked, or any in HTTP/1.0.
- A malformed request never gets its answer before, or within, the answer to an earlier one.
- A client that speaks HTTP/1.0 gets neither chunks nor `100 Continue`.
- Trailers stay out of the headers.
- Connections, heads of requests and slow clients have limits; see connection_limits.py.

Knows nothing of paths and endpoints.
"""

import asyncio
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from llmos.core.errors import BadRequest, HeadersTooLarge, LLMOSError, RequestTimeout, Unavailable, UriTooLong
from llmos.core.gathered_writes import GatheringTransport
from llmos.gateway.http.connection_limits import DEFAULT_LIMITS, ConnectionLimits
from llmos.gateway.http.error_formats import openai_error
from llmos.gateway.http.security_headers import headers_of_content
from llmos.gateway.http.slow_clients import Part, SlowClientTimer


class HttpProtocol(HttpToolsProtocol):
    def __init__(self, *args: Any, limits: ConnectionLimits = DEFAULT_LIMITS, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limits = limits
        self._is_in_head = False
        """True if the headers of a request have begun and not ended."""
        self._is_in_body = False
        """True if the headers of a request have ended and its body has not."""
        self._num_packet_bytes = 0
        """The bytes of all packets since the head began, without the first: a header that doesn't end is in no other
        count."""
        self._num_head_bytes = 0
        self._transfer_codings: list[bytes] = []
        self._has_ignored_upgrade = False
        self._is_refused = False
        """True if the connection closes after the running answers, and reads nothing more."""
        self._timer = SlowClientTimer(
            self.loop,
            self.limits,
            on_slow_request=self._on_slow_request,
            on_slow_response=self._on_slow_response,
            is_reading=self._is_reading,
        )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(GatheringTransport(transport, self.loop))
        if len(self.connections) > self.limits.max_connections and not self._close_idle_connection():
            num = self.limits.max_connections
            self._refuse(Unavailable(f"The server has {num:,} connections, its limit.", retry_after_seconds=2))
        else:
            self._timer.expect("headers")

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._unset_keepalive_if_required()
        if self._is_in_head:
            self._num_packet_bytes += len(data)
        rest: bytes | None = data
        try:
            while rest is not None:
                rest = self._feed(rest)
        except httptools.HttpParserError as error:
            self._refuse(_refusal(error))
            return
        if self._is_in_head and self._num_packet_bytes > self.limits.max_head_bytes:
            self._refuse(self._head_too_large())
            return
        self._timer.expect("headers" if self._is_in_head else "body" if self._is_in_body else None)
        if self._is_in_body:
            self._timer.received(len(data))
            if not self._is_reading():
                self._timer.paused()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._num_packet_bytes, self._num_head_bytes, self._transfer_codings = True, 0, 0, []

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.max_url_bytes:
            raise UriTooLong(
                f"The path of the request and its query have more than {self.limits.max_url_bytes:,} bytes."
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        # Called for every header, so it does what uvicorn's does instead of calling it.
        if not self._is_in_head:
            return  # A trailer. Merged into the headers it could pass by what a proxy checks in them.
        name = name.lower()
        if name == b"transfer-encoding":
            self._transfer_codings.append(value.lower())
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))
        self._num_head_bytes += len(name) + len(value)
        if self._num_head_bytes > self.limits.max_head_bytes:
            raise self._head_too_large()
        if len(self.headers) > self.limits.max_headers:
            raise HeadersTooLarge(f"The request has more than {self.limits.max_headers} headers.")

    def on_headers_complete(self) -> None:
        self._is_in_head, self._is_in_body = False, True
        if self._transfer_codings:
            self._check_transfer_codings()
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise BadRequest("This server is no proxy: it doesn't accept CONNECT.")
            self._has_ignored_upgrade = True
            return
        if self.url.startswith(b"//"):
            self.url = b"/" + self.url.lstrip(b"/")  # Otherwise the first segment of the path is taken for a host.
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_body = False
        if not self._has_ignored_upgrade:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._timer.expect_reader()  # Nothing else ends a connection whose client takes no more.

    def pause_writing(self) -> None:
        super().pause_writing()
        self._timer.expect_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._timer.reader_came()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.scope["http_version"] == "1.0":
            cycle.waiting_for_100_continue = False
            app = _without_chunks(app, cycle)
        super()._start_asgi_task(cycle, app)

    def _feed(self, data: bytes) -> bytes | None:
        """Parse `data`. Return what to parse next, if a request in it offers an upgrade: the same without the offer."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head = self._head_without_upgrade()
            self._has_ignored_upgrade = False
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            return head + data[upgrade.args[0] :]
        return None

    def _head_without_upgrade(self) -> bytes:
        """Return the request line and the headers that were parsed, without those of an upgrade."""
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name not in (b"upgrade", b"http2-settings")]
        return b"\r\n".join([*lines, b"", b""])

    def _check_transfer_codings(self) -> None:
        if self._transfer_codings != [b"chunked"]:
            codings = b", ".join(self._transfer_codings).decode(errors="replace")
            raise BadRequest(f"The request's Transfer-Encoding is {codings:.100}; this server reads chunked only.")
        if self.parser.get_http_version() == "1.0":
            raise BadRequest("A request of HTTP/1.0 can't have a Transfer-Encoding. Send it as HTTP/1.1.")

    def _refuse(self, error: LLMOSError) -> None:
        """Read no further. Whole requests that came before are answered; a malformed one gets this error."""
        self._is_refused = True
        self._timer.expect(None)
        self.logger.warning("Refused what a client sent: %s", error.message)
        cycle = self.cycle
        if cycle is not None and not cycle.more_body and not cycle.response_complete:
            cycle.keep_alive = False
            return
        if self.pipeline:  # It is the newest of several requests: it waits for its turn.
            self.pipeline[0] = (cycle, _answer(error))
            cycle.keep_alive = False
            return
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        if cycle is None or not cycle.more_body or not cycle.response_started:
            self.transport.write(_response(error, self.server_state.default_headers))
        self._close()

    def _close(self) -> None:
        """Close the connection when everything is sent, but don't wait for ever until the client takes it."""
        if not self.transport.is_closing():
            self.transport.close()
            self._timer.expect_reader()

    def _close_idle_connection(self) -> bool:
        """Close one connection that waits for its next request. Return False if there is none."""
        for each in self.connections:
            assert isinstance(each, HttpProtocol), "this server speaks nothing else"
            if each.timeout_keep_alive_task is not None and not each.transport.is_closing():
                each.timeout_keep_alive_handler()
                return True
        return False

    def _is_reading(self) -> bool:
        is_asked_to_wait = self.cycle is not None and self.cycle.waiting_for_100_continue
        return not self.flow.read_paused and not is_asked_to_wait

    def _on_slow_request(self, part: Part) -> None:
        if part == "headers" and not self._is_in_head:
            self._close()  # It has sent nothing at all, and expects no answer.
            return
        seconds = self.limits.head_seconds if part == "headers" else self.limits.body_seconds
        how = "did not arrive" if part == "headers" else f"brought less than {self.limits.min_body_bytes:,} bytes"
        self._refuse(RequestTimeout(f"The {part} of the request {how} within {seconds:g} seconds. Send it faster."))

    def _on_slow_response(self) -> None:
        self.logger.warning("Cut off a client that took nothing for %g seconds", self.limits.write_seconds)
        self.transport.abort()

    def _head_too_large(self) -> LLMOSError:
        return HeadersTooLarge(f"The headers of the request have more than {self.limits.max_head_bytes:,} bytes.")


def _refusal(error: httptools.HttpParserError) -> LLMOSError:
    cause = error.__context__
    if isinstance(cause, LLMOSError):
        return cause
    reason = "invalid URL" if isinstance(cause, httptools.HttpParserInvalidURLError) else str(error)
    return BadRequest(f"The request is not valid HTTP/1.1: {reason}.")


def _headers(error: LLMOSError, body: bytes) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    if error.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
    return headers + headers_of_content(headers)


def _response(error: LLMOSError, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    body = msgspec.json.encode(openai_error(error))
    headers = [name + b": " + value + b"\r\n" for name, value in [*default_headers, *_headers(error, body)]]
    return b"".join([STATUS_LINE[error.status], *headers, b"\r\n", body])


def _answer(error: LLMOSError) -> Any:
    """Return an application that answers every request with `error`."""
    body = msgspec.json.encode(openai_error(error))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": error.status, "headers": _headers(error, body)})
        await send({"type": "http.response.body", "body": body})

    return app


def _without_chunks(app: Any, cycle: RequestResponseCycle) -> Any:
    """Return `app`, whose answers of unknown length end with the connection."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        has_length = True

        async def send_plain(message: Any) -> None:
            nonlocal has_length
            if message["type"] == "http.response.start":
                has_length = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
                if not has_length:
                    cycle.chunked_encoding = False
            elif not has_length:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, send_plain)

    return wrapped
