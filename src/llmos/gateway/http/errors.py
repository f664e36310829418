"""Exception handlers: every error becomes a response in the format of the API that was called; see error_formats.py."""

import math
from collections.abc import Sequence

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from llmos.core.errors import BadRequest, LLMOSError, MethodNotAllowed, NotFound, find_error_class
from llmos.core.extras import missing_extra
from llmos.core.suggest import nearest
from llmos.gateway.http import error_formats
from llmos.gateway.http.compression import DECOMPRESSORS
from llmos.gateway.http.security_headers import headers_of_content


def install(app: FastAPI) -> None:
    """Add the handlers for all exceptions to `app`."""
    app.add_exception_handler(LLMOSError, _llmos_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(ModuleNotFoundError, _module_not_found)
    app.add_exception_handler(Exception, _internal_error)


def respond(error: LLMOSError, scope: Scope) -> Response:
    """Return the response for `error`, in the format that the sender of the request understands."""
    headers = {}
    scope.setdefault("state", {})["error_code"] = error.code  # for the log
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_seconds))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status == 415:
        headers["accept-encoding"] = ", ".join(DECOMPRESSORS)  # RFC 9110, 12.5.3
    return Response(msgspec.json.encode(error_formats.render(error, scope)), error.status, headers, "application/json")


def method_not_allowed(scope: Scope, methods: Sequence[str]) -> Response:
    """Return the response to a request whose path accepts other methods."""
    allowed = ", ".join(methods)
    response = respond(MethodNotAllowed(f"{scope['path']} accepts {allowed}, not {scope['method']}."), scope)
    response.headers["allow"] = allowed
    return response


def internal_error(scope: Scope) -> LLMOSError:
    """Return the error for a bug of the server. It tells callers the request id to search the log for, but no cause."""
    request_id = scope.get("state", {}).get("request_id", "(no id)")
    return LLMOSError(f"Internal server error. The server's log has the cause under request id {request_id}.")


async def _llmos_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, LLMOSError)
    return respond(error, request.scope)


async def _http_exception(request: Request, error: Exception) -> Response:
    """Respond to what the router rejects: an unknown path (404). The door has rejected unknown methods."""
    assert isinstance(error, HTTPException)
    path, method = request.url.path, request.method
    headers = dict(error.headers or {})
    if error.status_code == 404:
        near = nearest(path, known_paths(request.app), limit=1)
        advice = f"Did you mean {near[0]}?" if near else "GET /openapi.json lists all paths."
        refusal: LLMOSError = NotFound(f"There is no endpoint {method} {path}. {advice}")
    else:
        refusal = find_error_class(None, error.status_code)(str(error.detail))
    response = respond(refusal, request.scope)
    response.headers.update(headers)
    return response


async def _invalid_parameter(request: Request, error: Exception) -> Response:
    """Respond to a parameter of another type than its endpoint declares: in a path, it names nothing that exists."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    part, name = first["loc"][0], str(first["loc"][-1])
    reason = f"`{name}` is {str(first.get('input'))!r:.100}: {first['msg'][:1].lower()}{first['msg'][1:]}."
    if part == "path":
        return respond(NotFound(f"There is nothing at {request.url.path:.200}. {reason}", param=name), request.scope)
    return respond(BadRequest(reason, param=name), request.scope)


async def _module_not_found(request: Request, error: Exception) -> Response:
    if (refusal := missing_extra(error)) is None:
        raise error
    return respond(refusal, request.scope)


async def _internal_error(request: Request, error: Exception) -> Response:
    # This handler runs outside the door, which therefore can't add its headers.
    response = respond(internal_error(request.scope), request.scope)
    response.raw_headers += request.app.state.cors.headers(request.headers) + headers_of_content(response.raw_headers)
    for name in {"x-request-id", error_formats.error_format_of(request.scope).id_header}:
        response.headers[name] = request.state.request_id
    return response


def known_paths(app: FastAPI) -> dict[str, set[str]]:
    """Return every path of the app and its methods."""
    return {path: {method.upper() for method in methods} for path, methods in app.openapi()["paths"].items()}
