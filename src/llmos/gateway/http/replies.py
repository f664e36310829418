"""What routes take out of a request, and how they answer with one JSON document."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from llmos.gateway.services import Services


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def tenant_of(request: Request) -> str:
    """Whose key came with it: the door has checked that."""
    tenant: str = request.state.tenant
    return tenant


def json_response(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
