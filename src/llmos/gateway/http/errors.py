"""Exception handlers: every error becomes a response in the format of the API that was called; see error_formats.py."""

import math
import re
from collections.abc import Mapping

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from llmos.core.errors import LLMOSError, MethodNotAllowed, NotFound, find_error_class
from llmos.core.suggest import nearest
from llmos.gateway.http import error_formats


def install(app: FastAPI) -> None:
    """Add the handlers for all exceptions to `app`."""
    app.add_exception_handler(LLMOSError, _llmos_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _internal_error)


def respond(error: LLMOSError, scope: Scope) -> Response:
    """Return the response for `error`, in the format that the sender of the request understands."""
    headers = {}
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_seconds))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(msgspec.json.encode(error_formats.render(error, scope)), error.status, headers, "application/json")


def internal_error(scope: Scope) -> LLMOSError:
    """Return the error for a bug of the server. It tells callers the request id to search the log for, but no cause."""
    request_id = scope.get("state", {}).get("request_id", "(no id)")
    return LLMOSError(f"Internal server error. The server's log has the cause under request id {request_id}.")


async def _llmos_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, LLMOSError)
    return respond(error, request.scope)


async def _http_exception(request: Request, error: Exception) -> Response:
    """Respond to what the router rejects: an unknown path (404) or method (405)."""
    assert isinstance(error, HTTPException)
    path, method = request.url.path, request.method
    known = known_paths(request.app)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["allow"] = ", ".join(sorted(_methods(path, known)))
        refusal: LLMOSError = MethodNotAllowed(f"{path} accepts {headers['allow']}, not {method}.")
    elif error.status_code == 404:
        near = nearest(path, known, limit=1)
        advice = f"Did you mean {near[0]}?" if near else "GET /openapi.json lists all paths."
        refusal = NotFound(f"There is no endpoint {method} {path}. {advice}")
    else:
        refusal = find_error_class(None, error.status_code)(str(error.detail))
    response = respond(refusal, request.scope)
    response.headers.update(headers)
    return response


async def _internal_error(request: Request, error: Exception) -> Response:
    # This handler runs outside the door, which therefore can't add the request id.
    response = respond(internal_error(request.scope), request.scope)
    for name in {"x-request-id", error_formats.error_format_of(request.scope).id_header}:
        response.headers[name] = request.state.request_id
    return response


def _methods(path: str, known: Mapping[str, set[str]]) -> set[str]:
    """Return the methods of all patterns that `path` matches. The router itself reports those of the first one only."""
    return set().union(
        *(methods for pattern, methods in known.items() if re.fullmatch(re.sub(r"\{\w+\}", ".+", pattern), path))
    )


def known_paths(app: FastAPI) -> dict[str, set[str]]:
    """Return every path of the app and its methods."""
    return {path: {method.upper() for method in methods} for path, methods in app.openapi()["paths"].items()}
