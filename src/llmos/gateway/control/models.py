"""/llmos/v1/models: the stored Versions."""

import asyncio

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask

from llmos.core.schemas.models import ModelDescription, RemovalDescription, VersionDetails
from llmos.core.versioning.labels import has_tags
from llmos.deployments.descriptions import describe_remote_model
from llmos.deployments.removing import remove
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.services import services_of
from llmos.models.descriptions import describe_details, describe_removal, describe_version
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1")


class ModelDescriptions(msgspec.Struct):
    data: list[ModelDescription]


_TAGS = {
    "parameters": [{"name": "tag", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}}],
}


@router.get(
    "/models",
    tags=["models"],
    summary="List the Versions",
    openapi_extra=_TAGS,
    responses=openapi.answers(ModelDescriptions),
)
@requires(Permission.MODELS_READ)
async def list_versions(request: Request) -> Response:
    """`?tag=KEY` or `?tag=KEY=VALUE`: only Versions with this tag, or whose model has it. May be repeated."""
    services, tags = services_of(request), request.query_params.getlist("tag")

    def read() -> list[ModelDescription]:
        labels = services.registry.labels.all()
        versions = [each for each in services.registry.list() if has_tags(labels, (each.model, each.number), tags)]
        return [describe_version(version, labels) for version in versions]

    return json_response(ModelDescriptions(await asyncio.to_thread(read)))


@router.get(
    "/models/{name:path}/details",
    tags=["models"],
    summary="Describe a Version with its files, aliases and siblings",
    responses=openapi.answers(VersionDetails),
)
@requires(Permission.MODELS_READ)
async def get_details(request: Request, name: str) -> Response:
    """`name` is a Route or a reference. Takes longer than the description: the Version's files are read."""
    services = services_of(request)

    def read() -> VersionDetails:
        served = services.routes.resolve_primary(name)
        if served.number is None:
            return describe_remote_model(name, served)
        return describe_details(services.registry, services.routes.resolve_local(name), name=name)

    return json_response(await asyncio.to_thread(read))


@router.get(
    "/models/{name:path}", tags=["models"], summary="Describe a Version", responses=openapi.answers(ModelDescription)
)
@requires(Permission.MODELS_READ)
async def get_version(request: Request, name: str) -> Response:
    """`name` is a Route, an application (app:NAME) or a reference: NAME, NAME:ALIAS, NAME@NUMBER,
    NAME@sha256:DIGEST."""
    services = services_of(request)
    if (app := services.applications.served(caller_of(request)).get(name)) is not None:
        return json_response(describe_remote_model(name, app))

    def read() -> ModelDescription:
        served = services.routes.resolve_primary(name)
        if served.number is None:
            return describe_remote_model(name, served)
        return describe_version(services.routes.resolve_local(name), services.registry.labels.all(), name=name)

    return json_response(await asyncio.to_thread(read))


@router.delete(
    "/models/{name:path}",
    tags=["models"],
    summary="Remove a model, a Version or an alias",
    responses=openapi.answers(RemovalDescription),
)
@requires(Permission.MODELS_WRITE, "model.remove")
async def remove_model(request: Request, name: str) -> Response:
    """NAME, NAME@NUMBER or NAME:ALIAS. Replicas of removed Versions are stopped after their running requests finish."""
    services, caller = services_of(request), caller_of(request)
    removed = await asyncio.to_thread(lambda: remove(services.registry, name, actor=caller.actor))

    async def stop() -> None:
        for version in removed.versions:
            await services.pipeline.stop(version, caller)

    response = json_response(describe_removal(removed))
    # After the reply: running requests may take as long as the longest answer.
    response.background = BackgroundTask(stop)
    return response
