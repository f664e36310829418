"""Door: the first thing that an HTTP request meets. Request id, authentication, shutdown, request metrics.

Pure ASGI, so that a streamed answer costs one more function call per chunk. Every path needs a key except the open ones
(open_paths.py), so that a new endpoint cannot forget to ask for one.
"""

import logging
import time

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmos.core.errors import LLMOSError, Unauthenticated, Unavailable
from llmos.core.ids import new_id
from llmos.gateway.http import errors
from llmos.gateway.http.error_formats import error_format_of
from llmos.gateway.http.open_paths import is_open
from llmos.gateway.metrics import Metrics
from llmos.gateway.readiness import Readiness
from llmos.security.auth import OwnerKey, presented_key

_log = logging.getLogger(__name__)

CLIENT_GONE = 499
"""The status, in metrics only, of a request whose sender hung up before it was answered. nginx uses the same."""


class Door:
    def __init__(self, app: ASGIApp, *, owner_key: OwnerKey, readiness: Readiness, metrics: Metrics) -> None:
        self._app = app
        self._owner_key, self._readiness, self._metrics = owner_key, readiness, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # The HTTP server knows the real method, and leaves the body out.
        header_names = {"x-request-id", error_format_of(scope).id_header}
        id_headers = [(name.encode(), request_id.encode()) for name in sorted(header_names)]
        status = CLIENT_GONE

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *id_headers]
            await send(message)

        try:
            if (refusal := self._refusal(scope)) is not None:
                await errors.respond(refusal, scope)(scope, receive, send_with_id)
            else:
                await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            pass  # In the middle of its own request: there is nobody left to answer.
        except Exception:
            _log.error("%s failed: %s %s", request_id, scope["method"], scope["path"])
            status = 500  # Starlette sends it, further out, and uvicorn logs the traceback.
            raise
        finally:
            self._count(scope, status, time.perf_counter() - began)

    def _refusal(self, scope: Scope) -> LLMOSError | None:
        if is_open(scope["path"]):
            return None
        headers = Headers(scope=scope)
        try:
            # Requests of this process to itself (see jobs/internal_requests.py) have their caller already. Requests
            # from outside can't have one.
            if "caller" not in scope["state"]:
                key = presented_key(headers.get("authorization"), headers.get("x-api-key"))
                scope["state"]["caller"] = self._owner_key.check(key)
        except Unauthenticated as error:
            return error
        if self._readiness.is_draining:
            return Unavailable("The server is shutting down. Try again in a moment.", retry_after_seconds=2)
        return None

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # The route's pattern, not the path: a label must not grow with what callers send.
        route = getattr(scope.get("route"), "path_format", "other")
        self._metrics.requests.labels(scope["method"], route, str(status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
