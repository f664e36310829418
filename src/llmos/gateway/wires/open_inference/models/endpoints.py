"""/v2/models/{model}: the state of a model, and its metadata."""

from fastapi import APIRouter, Request, Response

from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.services import services_of
from llmos.gateway.wires.open_inference.models.answers import TENSORS, ModelMetadata, ModelReady
from llmos.gateway.wires.open_inference.versions import find_version, version_numbers
from llmos.security.permissions import Permission

router = APIRouter(prefix="/v2/models", tags=["open inference"])

_READINESS = openapi.answers(ModelReady, also={503: ModelReady})


# Longer paths come first: a name may have slashes.


@router.get(
    "/{model:path}/versions/{version}/ready",
    summary="Check whether a model is ready",
    responses=_READINESS,
)
@requires(Permission.INFERENCE)
async def is_version_ready(request: Request, model: str, version: str) -> Response:
    return await _readiness(request, model, version)


@router.get("/{model:path}/ready", summary="Check whether a model is ready", responses=_READINESS)
@requires(Permission.INFERENCE)
async def is_model_ready(request: Request, model: str) -> Response:
    return await _readiness(request, model, None)


@router.get(
    "/{model:path}/versions/{version}",
    summary="Describe a version's inputs and outputs",
    responses=openapi.answers(ModelMetadata),
)
@requires(Permission.INFERENCE)
async def get_version_metadata(request: Request, model: str, version: str) -> Response:
    return await _metadata(request, model, version)


@router.get("/{model:path}", summary="Describe a model's inputs and outputs", responses=openapi.answers(ModelMetadata))
@requires(Permission.INFERENCE)
async def get_model_metadata(request: Request, model: str) -> Response:
    return await _metadata(request, model, None)


async def _metadata(request: Request, model: str, number: str | None) -> Response:
    caller_of(request).check_model(model)
    version = await find_version(services_of(request), model, number)
    versions = [number] if number else await version_numbers(services_of(request), version)
    return json_response(ModelMetadata(name=model, versions=versions, **TENSORS))


async def _readiness(request: Request, model: str, number: str | None) -> Response:
    """Return the readiness. A model that is not loaded is ready: its first request loads it."""
    services = services_of(request)
    caller_of(request).check_model(model)
    version = await find_version(services, model, number)
    states = {replica.version: replica.state for replica in services.pool.status()}
    is_ready = states.get(version.ref, "stopped") in ("ready", "stopped") and not services.readiness.is_draining
    return json_response(ModelReady(model, is_ready), 200 if is_ready else 503)
