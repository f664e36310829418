"""serve_app: an ASGI application around one App: its runs as JSON or as a stream of events.

    POST /runs                {input, session?, user?, variables?, …, stream?}  ->  RunResult, or events
    POST /runs/{id}/resume    {value?}                                          ->  RunResult
    GET  /health                                                                ->  what it is, and how much it does
    POST /drain               no new runs; answers when the last one has ended

A caller who hangs up cancels the run.
"""

import asyncio
import hmac
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from llmos.apps import App, DoneEvent, Event
from llmos.apps.errors import AppError
from llmos.client.mocked_calls import MockedCalls
from llmos.client.recorded_calls import RecordedCalls
from llmos.core.connected import while_connected
from llmos.core.errors import LLMOSError, NotFound, TooLarge, Unauthenticated, Unavailable
from llmos.hosting.requests import MAX_BODY_BYTES, RunRequest, parse_resume, parse_run
from llmos.hosting.results import describe_event, describe_failure, describe_run, encode

_log = logging.getLogger(__name__)

_JSON = "application/json"
_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
_APP_ERROR = 422
"""The status of a run that has failed by itself: a limit, a wrong output, an exception of its program."""

Work = Callable[[Send], Awaitable[None]]


class Served:
    """One App, and the runs that it has now."""

    def __init__(self, app: App, *, key: str | None = None) -> None:
        """`key`: what callers must send, as a bearer token; None: nothing."""
        self.app, self._key = app, key
        self.num_runs, self.is_draining = 0, False
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self.continued = asyncio.Event()
        """Set when a run may have become ready to be continued."""

    async def drain(self) -> None:
        """Refuse new runs, and return when the last one has ended."""
        self.is_draining = True
        await self._is_idle.wait()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count a run. Raises Unavailable while draining."""
        if self.is_draining:
            raise Unavailable(f"The app {self.app.name} is stopping. Try again in a moment.", retry_after_seconds=1)
        self.num_runs += 1
        self._is_idle.clear()
        try:
            yield
        finally:
            self.num_runs -= 1
            if not self.num_runs:
                self._is_idle.set()

    def check_key(self, headers: Any) -> None:
        """Raise Unauthenticated unless the request has the key."""
        if self._key is None:
            return
        presented = headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(presented.encode(), self._key.encode()):
            raise Unauthenticated("The request doesn't have the key of this app: `Authorization: Bearer KEY`.")


def serve_app(served: Served) -> Starlette:
    """Return the ASGI application of a served App."""
    routes = [
        Route("/runs", _endpoint(served, _run), methods=["POST"]),
        Route("/runs/{id}/resume", _endpoint(served, _resume), methods=["POST"]),
        Route("/health", _endpoint(served, _health), methods=["GET"]),
        Route("/drain", _endpoint(served, _drain), methods=["POST"]),
        Route("/continue", _endpoint(served, _continue), methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={404: _no_path, 405: _no_path})


def _endpoint(served: Served, handle: Callable[[Served, Request], Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def endpoint(request: Request) -> Any:
        try:
            served.check_key(request.headers)
            return await handle(served, request)
        except LLMOSError as error:
            return error_response(error)

    return endpoint


async def _run(served: Served, request: Request) -> Response:
    return _RunResponse(served, parse_run(await _body(request)))


async def _resume(served: Served, request: Request) -> Response:
    body, id = parse_resume(await _body(request)), request.path_params["id"]
    given = () if body.value is msgspec.UNSET else (body.value,)

    async def work(send: Send) -> None:
        with served.running():
            run = await served.app.aresume(id, *given)
        await _send_json(send, describe_run(run))

    return _Connected(served, work)


async def _health(served: Served, request: Request) -> Response:
    facts = {
        "app": served.app.name,
        "state": "draining" if served.is_draining else "ready",
        "num_runs": served.num_runs,
        "output": served.app.output_schema,
    }
    return Response(encode(facts), media_type=_JSON)


async def _drain(served: Served, request: Request) -> Response:
    await served.drain()
    return Response(b"{}", media_type=_JSON)


async def _continue(served: Served, request: Request) -> Response:
    served.continued.set()
    return Response(b"{}", media_type=_JSON)


class _Connected(Response):
    """Sends what `work` sends, for as long as the caller listens."""

    def __init__(self, served: Served, work: Work) -> None:
        super().__init__()
        self._served, self._work = served, work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self._answered(scope, receive, send))

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._work(send)
        except Exception as error:
            await error_response(as_failure(self._served.app, error))(scope, receive, send)


class _RunResponse(_Connected):
    """A run, as one JSON object or as events."""

    def __init__(self, served: Served, body: RunRequest) -> None:
        super().__init__(served, self._stream if body.stream else self._whole)
        self._body = body

    async def _whole(self, send: Send) -> None:
        async for event in self._events():
            if isinstance(event, DoneEvent):
                await _send_json(send, describe_run(event.run))

    async def _stream(self, send: Send) -> None:
        has_begun = False
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    if not has_begun:  # What fails before it has a status of its own.
                        await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
                        has_begun = True
                    await _send_event(send, describe_event(event))
        except Exception as error:
            if not has_begun:
                raise
            await _send_event(send, describe_failure(as_failure(self._served.app, error)))
        await send({"type": "http.response.body", "body": b""})

    async def _events(self) -> AsyncGenerator[Event, None]:
        body, app = self._body, self._served.app
        options: dict[str, Any] = {"user": body.user, "dry_run": body.dry_run, "wait_seconds": body.wait_seconds}
        options["keep"] = body.keep
        options["recorded"] = None if body.recorded is None else RecordedCalls(body.recorded)
        if body.mocks is not None or not body.effects:
            options["mocks"] = MockedCalls(body.mocks or (), allows_effects=body.effects)
        await app.ready()
        options["variables"] = {**_declared(app, body.metadata), **body.variables}
        options |= {"session": body.session} if body.session is not None else {}
        options |= {"before": body.before} if body.before else {}
        with self._served.running():
            async with aclosing(app.astream(body.input, **options)) as events:
                async for event in events:
                    yield event


def _declared(app: App, metadata: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name in app.variables}


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"The request is larger than {MAX_BODY_BYTES:,} bytes.")
    return body


async def _send_json(send: Send, value: Any) -> None:
    await Response(encode(value), media_type=_JSON)({"type": "http"}, _nothing, send)


async def _send_event(send: Send, value: Any) -> None:
    await send({"type": "http.response.body", "body": b"data: " + encode(value) + b"\n\n", "more_body": True})


def as_failure(app: App, error: Exception) -> LLMOSError:
    """Return the error for callers. What the program of the app raised is logged with its traceback."""
    if isinstance(error, LLMOSError):
        return error
    _log.error("A run of the app %s failed", app.name, exc_info=error)
    return AppError(f"The app {app.name} failed: {type(error).__name__}: {error}"[:1000])


def error_response(error: LLMOSError) -> Response:
    """Return the response for an error, as OpenAI's APIs and LLMOS's own have it."""
    detail = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    headers = {} if error.retry_after_seconds is None else {"retry-after": str(round(error.retry_after_seconds))}
    return Response(encode({"error": detail}), error.status or _APP_ERROR, headers, _JSON)


async def _no_path(request: Request, _: Exception) -> Response:
    return error_response(NotFound(f"There is no endpoint {request.method} {request.url.path}."))


async def _nothing() -> Any:
    raise AssertionError("a response that is sent at once reads nothing")
