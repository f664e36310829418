"""/v2/health and /v2: the state of the server, and its metadata."""

from fastapi import APIRouter, Request, Response

from llmos.gateway.http import openapi
from llmos.gateway.http.error_formats import ErrorFormat
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.services import services_of
from llmos.gateway.wires.open_inference.errors import InferenceError, error_body
from llmos.gateway.wires.open_inference.server.answers import ServerLive, ServerMetadata, ServerReady
from llmos.security.permissions import Permission

router = APIRouter(prefix="/v2", tags=["open inference"])

error_format = ErrorFormat(paths=("/v2",), body=InferenceError, render=lambda error, _: error_body(error))


@router.get("/health/live", summary="Check whether the server is up", responses=openapi.answers(ServerLive))
async def is_server_live() -> Response:
    return json_response(ServerLive())


@router.get(
    "/health/ready",
    summary="Check whether the server is ready",
    responses=openapi.answers(ServerReady, also={503: ServerReady}),
)
async def is_server_ready(request: Request) -> Response:
    services = services_of(request)
    models = await services.model_readiness()
    is_ready = not services.readiness.is_draining and not any(model.reason for model in models)
    return json_response(ServerReady(is_ready), 200 if is_ready else 503)


@router.get("", summary="Describe the server", responses=openapi.answers(ServerMetadata))
@requires(Permission.INFERENCE)
async def get_server_metadata(request: Request) -> Response:
    return json_response(ServerMetadata())
