"""Every error leaves the server in the shape of the wire format that was asked in; see dialects.py."""

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
from llmos.gateway.http import dialects


def install(app: FastAPI) -> None:
    """Answer every exception of `app`."""
    app.add_exception_handler(LLMOSError, _llmos_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _internal_error)


def respond(error: LLMOSError, scope: Scope) -> Response:
    headers = {}
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_seconds))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(msgspec.json.encode(dialects.spell(error, scope)), error.status, headers, "application/json")


def internal_error(scope: Scope) -> LLMOSError:
    """What callers are told of our own bugs: the number under which the log can be searched, nothing of the inside."""
    number = scope.get("state", {}).get("request_id", "without a number")
    return LLMOSError(f"Something went wrong inside the server. Its log has the reason, at request {number}.")


async def _llmos_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, LLMOSError)
    return respond(error, request.scope)


async def _http_exception(request: Request, error: Exception) -> Response:
    """What the router itself refuses: an unknown path (404) or method (405)."""
    assert isinstance(error, HTTPException)
    path, method = request.url.path, request.method
    known = known_paths(request.app)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["allow"] = ", ".join(sorted(_methods(path, known)))
        refusal: LLMOSError = MethodNotAllowed(f"{path} takes {headers['allow']}, not {method}.")
    elif error.status_code == 404:
        near = nearest(path, known, limit=1)
        advice = f"Did you mean {near[0]}?" if near else "GET /openapi.json lists what there is."
        refusal = NotFound(f"There is nothing at {method} {path}. {advice}")
    else:
        refusal = find_error_class(None, error.status_code)(str(error.detail))
    response = respond(refusal, request.scope)
    response.headers.update(headers)
    return response


async def _internal_error(request: Request, error: Exception) -> Response:
    """It is made outside the door, which therefore can't number it."""
    response = respond(internal_error(request.scope), request.scope)
    for name in {"x-request-id", dialects.dialect_of(request.scope).id_header}:
        response.headers[name] = request.state.request_id
    return response


def _methods(path: str, known: Mapping[str, set[str]]) -> set[str]:
    """The methods of all patterns that `path` fits: a router alone names those of the first."""
    return set().union(
        *(methods for pattern, methods in known.items() if re.fullmatch(re.sub(r"\{\w+\}", ".+", pattern), path))
    )


def known_paths(app: FastAPI) -> dict[str, set[str]]:
    """Every path of the app with its methods."""
    return {path: {method.upper() for method in methods} for path, methods in app.openapi()["paths"].items()}
