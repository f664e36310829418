"""Helpers of endpoints: the caller of a request, and responses with one JSON document or one page."""

from dataclasses import replace
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from llmos.security.callers import Caller

# No scripts and no external resources, so that a hostile name or text can do no harm.
_PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


def caller_of(request: Request) -> Caller:
    """Return who sent the request (see door.py), with the request's body, once that is read: ask after parsing."""
    caller: Caller = request.state.caller
    body: bytes = getattr(request.state, "body", b"")
    return replace(caller, request_body=body) if body else caller


def json_response(value: Any, status: int = 200) -> Response:
    """Return the response with `value` as JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def page_response(page: str) -> Response:
    """Return the response with a self-contained page."""
    return Response(page, media_type="text/html; charset=utf-8", headers=_PAGE_HEADERS)
