"""/llmos/v1/models: what is stored."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.deployments.served_model import ServedModel, served_version
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response, services_of
from llmos.gateway.http.requests import RequestObject, parse_query
from llmos.models.versions.labels import Subject, has_tag
from llmos.models.versions.versions import Labels
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1")


class ModelDescription(msgspec.Struct, kw_only=True):
    name: str
    """The name that was asked, or the model's."""
    version: str
    digest: str | None
    """null, as what else isn't known, for a model that a provider runs."""
    family: str
    format: str
    quantization: str | None
    parameters: int | None
    context_length: int | None
    sampling: dict[str, float]
    """How tokens are chosen where a request doesn't say: what the model's makers recommend."""
    size_bytes: int
    license: str | None
    source: str
    parent: str | None
    """The digest of the Version that it was made from."""
    recipe: dict[str, Any] | None
    """How it was made from that one."""
    made_by: str | None
    """Who made it or brought it in."""
    description: str | None
    tags: dict[str, str]
    """The Version's own; a tag that is only a word has an empty value."""
    model_description: str | None
    model_tags: dict[str, str]
    created_at: datetime


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
            _model(version.model, served_version(version), labels)
            for version in services.registry.list()
            if asked.tag is None or has_tag([labels.get(key) for key in _subjects(served_version(version))], asked.tag)
        ]

    return json_response(ModelDescriptions(await asyncio.to_thread(read)))


@router.get(
    "/models/{name:path}", tags=["models"], summary="Describe a Version", responses=openapi.answers(ModelDescription)
)
@requires(Permission.MODELS_READ)
async def get_version(request: Request, name: str) -> Response:
    """`name` is a Route or a reference: NAME, NAME:ALIAS, NAME@NUMBER, NAME@sha256:DIGEST."""
    services = services_of(request)

    def read() -> ModelDescription:
        return _model(name, services.routes.resolve_primary(name), services.registry.labels.all())

    return json_response(await asyncio.to_thread(read))


def _model(name: str, version: ServedModel, labels: Mapping[Subject, Labels]) -> ModelDescription:
    own, models = (labels.get(key, Labels()) for key in _subjects(version))
    return ModelDescription(
        name=name,
        version=version.ref,
        digest=version.digest,
        family=version.family or "remote",
        format=version.format or "remote",
        quantization=version.quantization,
        parameters=version.parameters,
        context_length=version.context_length,
        sampling=dict(version.sampling),
        size_bytes=version.size_bytes or 0,
        license=version.license,
        source=version.source or "",
        parent=version.parent,
        recipe=None if version.recipe is None else dict(version.recipe),
        made_by=version.made_by,
        description=own.description,
        tags=dict(own.tags),
        model_description=models.description,
        model_tags=dict(models.tags),
        created_at=version.created_at,
    )


def _subjects(version: ServedModel) -> tuple[Subject, Subject]:
    """What its own labels are kept under, and its model's."""
    return (version.model, version.number or 1), (version.model, 0)
