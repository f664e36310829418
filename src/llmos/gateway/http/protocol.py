"""HttpProtocol: uvicorn's reading of HTTP/1.1 from a connection, corrected where it loses or misreads requests.

- A request that offers an upgrade (Java's HttpClient offers h2c with each request) is answered as if it did not.
  httptools skips the body of such a request, and then reads it as the next request of the connection.
- Framing that a proxy might read otherwise is refused: a transfer coding besides chunked, or any in HTTP/1.0.
- A malformed request never gets its answer before, or within, the answer to an earlier one.
- A client that speaks HTTP/1.0 gets neither chunks nor `100 Continue`.
- Trailers stay out of the headers, and the headers of a request have a limit.

Knows nothing of paths and endpoints.
"""

from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from llmos.core.errors import BadRequest, HeadersTooLarge, LLMOSError
from llmos.gateway.http.error_formats import openai_error

MAX_HEAD_BYTES = 128 * 1024
"""The most that the request line and the headers may have beyond the first packet of a request."""


class HttpProtocol(HttpToolsProtocol):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_head = False
        """True if the headers of a request have begun and not ended."""
        self._num_head_bytes = 0
        self._transfer_codings: list[bytes] = []
        self._has_ignored_upgrade = False
        self._is_refused = False
        """True if the connection closes after the running answers, and reads nothing more."""

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._unset_keepalive_if_required()
        if self._is_in_head:
            self._num_head_bytes += len(data)
        rest: bytes | None = data
        try:
            while rest is not None:
                rest = self._feed(rest)
        except httptools.HttpParserError as error:
            self._refuse(_refusal(error))
            return
        if self._is_in_head and self._num_head_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadersTooLarge(f"The headers of the request have more than {MAX_HEAD_BYTES:,} bytes."))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._num_head_bytes, self._transfer_codings = True, 0, []

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

    def on_headers_complete(self) -> None:
        self._is_in_head = False
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
        if not self._has_ignored_upgrade:
            super().on_message_complete()

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
        self.transport.close()


def _refusal(error: httptools.HttpParserError) -> LLMOSError:
    cause = error.__context__
    if isinstance(cause, LLMOSError):
        return cause
    reason = "invalid URL" if isinstance(cause, httptools.HttpParserInvalidURLError) else str(error)
    return BadRequest(f"The request is not valid HTTP/1.1: {reason}.")


def _headers(error: LLMOSError, body: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]


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
