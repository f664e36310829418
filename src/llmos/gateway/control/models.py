"""/llmos/v1/models: what is stored."""

import asyncio

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.schemas.models import ModelDescription, VersionDetails
from llmos.deployments.descriptions import describe_remote_model
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.http.requests import RequestObject, parse_query
from llmos.gateway.services import services_of
from llmos.models.descriptions import describe_details, describe_version
from llmos.models.versions.labels import Subject, has_tag
from llmos.models.versions.versions import Version
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1")


class ModelDescriptions(msgspec.Struct):
    data: list[ModelDescription]


class ModelsQuery(RequestObject, kw_only=True):
    tag: str | None = None


@router.get("/models", tags=["models"], summary="List the Versions", responses=openapi.answers(ModelDescriptions))
@requires(Permission.MODELS_READ)
async def list_versions(request: Request) -> Response:
    """`?tag=KEY` or `?tag=KEY=VALUE`: only those that have it, themselves or by their model."""
    asked = parse_query(request, ModelsQuery)
    services = services_of(request)

    def read() -> list[ModelDescription]:
        labels = services.registry.labels.all()
        return [
            describe_version(version, labels)
            for version in services.registry.list()
            if asked.tag is None or has_tag([labels.get(key) for key in _subjects(version)], asked.tag)
        ]

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
    """`name` is a Route or a reference: NAME, NAME:ALIAS, NAME@NUMBER, NAME@sha256:DIGEST."""
    services = services_of(request)

    def read() -> ModelDescription:
        served = services.routes.resolve_primary(name)
        if served.number is None:
            return describe_remote_model(name, served)
        return describe_version(services.routes.resolve_local(name), services.registry.labels.all(), name=name)

    return json_response(await asyncio.to_thread(read))


def _subjects(version: Version) -> tuple[Subject, Subject]:
    """What its own labels are kept under, and its model's."""
    return (version.model, version.number), (version.model, 0)
