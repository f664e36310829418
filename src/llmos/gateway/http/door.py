"""Door: the first thing that an HTTP request meets. Path, request id, CORS, authentication, shutdown, metrics, log.

Pure ASGI, so that a streamed answer costs one more function call per chunk. Every path needs a key except the open ones
(open_paths.py), so that a new endpoint cannot forget to ask for one.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmos.core.config import Settings
from llmos.core.errors import BadRequest, LLMOSError, NotFound, PermissionDenied, Unauthenticated, Unavailable
from llmos.core.ids import new_id
from llmos.core.schemas.runs import RUN_HEADER
from llmos.gateway.http import errors
from llmos.gateway.http.cors import Cors, is_preflight
from llmos.gateway.http.error_formats import error_format_of
from llmos.gateway.http.ignored import HEADER as IGNORED_HEADER
from llmos.gateway.http.ignored import ignored_fields
from llmos.gateway.http.open_paths import is_open
from llmos.gateway.http.paths import PathMethods, normalize
from llmos.gateway.http.security_headers import headers_of_content
from llmos.gateway.http.session_cookies import CSRF_HEADER, check_csrf, session_token
from llmos.gateway.http.trusted_proxies import TrustedProxies
from llmos.gateway.log import RequestLog, current_request
from llmos.gateway.metrics import Metrics
from llmos.gateway.readiness import Readiness
from llmos.security.audit.entries import Event
from llmos.security.audit.recorder import AuditRecorder
from llmos.security.auth import presented_key
from llmos.security.authenticator import Authenticator
from llmos.security.callers import Caller
from llmos.security.users.sessions import Sessions

MAX_TRACEPARENT_LENGTH = 256
_MAX_RUN_LENGTH = 64

_log = logging.getLogger(__name__)

CLIENT_GONE = 499
"""The status, in metrics only, of a request whose sender hung up before it was answered. nginx uses the same."""


@cache
def _id_headers(header: str) -> tuple[bytes, ...]:
    """Return the headers with the id of the request. `header`: the one in which the API's clients look for it."""
    return tuple(name.encode() for name in sorted({"x-request-id", header}))


class _ReadHeaders(Headers):
    """The headers of a request, each found without reading the others: a call asks for a dozen."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        self._found: dict[str, str] = {}
        for name, value in self._list:
            self._found.setdefault(name.decode("latin-1"), value.decode("latin-1"))

    def __getitem__(self, name: str) -> str:
        return self._found[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._found

    def get(self, name: str, default: Any = None) -> Any:
        return self._found.get(name.lower(), default)


class Door:
    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Authenticator,
        sessions: Sessions,
        settings: Settings,
        audit: AuditRecorder,
        readiness: Readiness,
        metrics: Metrics,
        methods: PathMethods,
        cors: Cors,
        log: RequestLog,
        mounted: Sequence[str] = (),
        open_mounts: Sequence[str] = (),
    ) -> None:
        """Open for `app`. `mounted`: the paths of other applications below it; `open_mounts`: of those among them that
        need no key."""
        self._app = app
        self._authenticator, self._readiness, self._metrics = authenticator, readiness, metrics
        self._sessions, self._settings = sessions, settings
        self._methods, self._cors, self._mounted, self._log = methods, cors, mounted, log
        self._audit = audit
        self._open_mounts = frozenset(open_mounts)
        self._open_below = tuple(f"{each}/" for each in open_mounts)
        self._proxies = TrustedProxies(settings.trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        scope = normalize(scope, self._mounted)
        request_id = new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        current_request.set(request_id)
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # The HTTP server knows the real method, and leaves the body out.
        more_headers = [(name, request_id.encode()) for name in _id_headers(error_format_of(scope).id_header)]
        headers = _ReadHeaders(scope=scope)
        more_headers += self._cors.headers(headers)
        status = CLIENT_GONE

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                ignored = ignored_fields(scope).header().encode("ascii", "replace")
                ignored_headers = [(IGNORED_HEADER.encode(), ignored)] if ignored else []
                own = list(message.get("headers", ()))
                message["headers"] = [*own, *more_headers, *headers_of_content(own), *ignored_headers]
            await send(message)

        try:
            try:
                scope = self._proxies.resolve(scope, headers)
            except BadRequest as error:
                response: Response | None = errors.respond(error, scope)
            else:
                response = await self._response(scope, headers)
            await (response or self._app)(scope, receive, send_with_headers)
        except ClientDisconnect:
            pass  # In the middle of its own request: there is nobody left to answer.
        except Exception:
            _log.error("%s failed: %s %s", request_id, scope["method"], scope["path"])
            status = 500  # Starlette sends it, further out, and uvicorn logs the traceback.
            raise
        finally:
            seconds = time.perf_counter() - began
            if status == PermissionDenied.status:
                self._record_refusal(scope)
            self._count(scope, status, seconds)
            self._log.write(scope, status, seconds)

    async def _response(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the response to a request that goes no further; None for one that does."""
        if is_preflight(scope["method"], headers):
            return self._preflight_response(scope, headers)
        if (refusal := await self._refusal(scope, headers)) is not None:
            return errors.respond(refusal, scope)
        if "\0" in scope["path"]:
            return errors.respond(NotFound("No path has a NUL character. Leave out %00."), scope)
        methods = self._methods.of(scope["path"])
        if methods and scope["method"] not in methods:
            return errors.method_not_allowed(scope, methods)
        return None

    def _preflight_response(self, scope: Scope, headers: Headers) -> Response:
        origin = headers["origin"]
        if not self._cors.allows(origin):
            refusal = PermissionDenied(
                f"Pages of {origin:.200} may not call this server. To let them, start it with `--allow-origin ORIGIN`."
            )
            return errors.respond(refusal, scope)
        response = Response(status_code=204)
        response.raw_headers = self._cors.preflight_headers(headers, self._methods.of(scope["path"]) or ("GET", "POST"))
        return response

    async def _refusal(self, scope: Scope, headers: Headers) -> LLMOSError | None:
        if is_open(scope["path"]) or self._is_in_open_mount(scope["path"]):
            return None
        try:
            # Requests of this process to itself (see jobs/internal_requests.py) have their caller already. Requests
            # from outside can't have one.
            if "caller" not in scope["state"]:
                scope["state"]["caller"] = await self._signed_in(headers, scope)
        except LLMOSError as error:
            return error
        caller: Caller = replace(
            scope["state"]["caller"],
            request_id=scope["state"]["request_id"],
            traceparent=headers.get("traceparent", "")[:MAX_TRACEPARENT_LENGTH],
            run=headers.get(RUN_HEADER, "")[:_MAX_RUN_LENGTH] if scope["state"]["caller"].app is not None else "",
        )
        scope["state"]["caller"] = caller
        # Runs of applications end before the server does, and ask models until then.
        if self._readiness.is_draining and caller.app is None:
            return Unavailable("The server is shutting down. Try again in a moment.", retry_after_seconds=2)
        return None

    def _is_in_open_mount(self, path: str) -> bool:
        return path in self._open_mounts or path.startswith(self._open_below)

    async def _signed_in(self, headers: Headers, scope: Scope) -> Caller:
        """Return who sends the request, and record that, or that nobody may with this key."""
        key: str | None = None
        address = scope["client"][0] if scope.get("client") else ""
        scope["state"]["address"] = address
        try:
            key = presented_key(headers)
            token = session_token(scope, self._settings.public_url) if key is None else None
            if token is not None:
                return await self._user(token, scope, headers)
            caller = await self._caller(key, address)
        except (Unauthenticated, PermissionDenied) as error:
            # A known key that doesn't work is named. An unknown one isn't: it may be a typing error, or another secret.
            id = self._authenticator.id_of(key)
            request_id = scope["state"]["request_id"]
            self._audit.add(
                Event(
                    action="sign_in",
                    outcome="refused",
                    object=id,
                    address=address,
                    request_id=request_id,
                    error=error.code,
                )
            )
            raise
        self._audit.sign_in(caller.project, caller.key_id, address)
        return caller

    def _record_refusal(self, scope: Scope) -> None:
        """Record that a key may not do what it asked for, unless that was recorded as a refused sign-in or action."""
        state = scope["state"]
        caller: Caller | None = state.get("caller")
        if caller is None or state.get("is_audited"):
            return
        self._audit.add(
            Event(
                action=str(state.get("permission", "none")),
                outcome="refused",
                project=caller.project,
                key=caller.key_id,
                object=":".join(map(str, scope.get("path_params", {}).values())),
                address=state.get("address", ""),
                request_id=caller.request_id,
                error=state.get("error_code", PermissionDenied.code),
            )
        )

    async def _caller(self, key: str | None, address: str) -> Caller:
        """Return the caller that the key belongs to. Only a key that isn't known yet waits for the database."""
        if (caller := self._authenticator.remembered(key, address)) is not None:
            return caller
        return await asyncio.to_thread(self._authenticator.check, key, address)

    async def _user(self, token: str, scope: Scope, headers: Headers) -> Caller:
        """Return the caller in the session with this token. Raises Unauthenticated and PermissionDenied."""
        # A page that is open asks for news by itself, which keeps no session from ending.
        is_use = not scope["state"].get("is_poll", False)
        found = await asyncio.to_thread(partial(self._sessions.find, token, is_use=is_use))
        if found is None:
            raise Unauthenticated("Your session has ended. Sign in again: GET /llmos/v1/sign-in")
        check_csrf(scope["method"], headers.get(CSRF_HEADER), token)
        return found.user.caller()

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # The route's pattern, not the path: a label must not grow with what callers send.
        route = getattr(scope.get("route"), "path_format", "other")
        self._metrics.child(self._metrics.requests, scope["method"], route, str(status)).inc()
        self._metrics.child(self._metrics.request_seconds, route).observe(seconds)
