"""/llmos/v1/models/NAME/fit: whether a Version fits the server's memory, before anything is loaded."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.schemas.fit import FitDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.http.requests import RequestObject, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/models/{name}", tags=["models"])

_MAX_TOKENS, _MAX_STREAMS = 1_000_000_000, 1_000_000


class FitQuery(RequestObject, kw_only=True):
    context: Annotated[int, Meta(ge=1, le=_MAX_TOKENS)] | None = None
    """Tokens of prompt and answer together, for each stream."""
    streams: Annotated[int, Meta(ge=1, le=_MAX_STREAMS)] | None = None
    """Streams at the same time."""


@router.get(
    "/fit",
    summary="Calculate whether a Version fits the server's memory",
    openapi_extra=openapi.query(FitQuery),
    responses=openapi.answers(FitDescription),
)
@requires(Permission.MODELS_READ)
async def get_fit(request: Request, name: str) -> Response:
    """`name` is a Route or a reference. Nothing is loaded. Without `context` and `streams`: for the server's settings.
    The speed is known once `llmos fit` has measured the server's machine."""
    query, services = parse_query(request, FitQuery), services_of(request)

    def read() -> FitDescription:
        # Imported here because it needs numpy, which the other endpoints do without.
        from llmos.deployments.fitting import Fitting, stored_model

        model = stored_model(services.registry, services.routes.resolve_local(name), name)
        fitting = Fitting.of(model, services.settings, context=query.context, streams=query.streams)
        return fitting.describe(fitting.known_machine(services.settings))

    return json_response(await asyncio.to_thread(read))
