"""Helpers of endpoints: the caller of a request, and responses with one JSON document."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from llmos.security.callers import Caller


def caller_of(request: Request) -> Caller:
    """Return who sent the request; see gateway/http/door.py."""
    caller: Caller = request.state.caller
    return caller


def json_response(value: Any, status: int = 200) -> Response:
    """Return the response with `value` as JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")
