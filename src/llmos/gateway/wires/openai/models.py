"""GET /v1/models: the names that `model` takes, in OpenAI's wire format or, where its header is sent, Anthropic's."""

import asyncio
from typing import Literal

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.errors import LLMOSError
from llmos.deployments.served_model import ServedModel
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response, services_of
from llmos.gateway.services import Services
from llmos.gateway.wires.anthropic import models as anthropic_models
from llmos.security.permissions import Permission

_ANTHROPIC = "anthropic-version"

router = APIRouter(prefix="/v1/models", tags=["inference"])


class OpenAIModel(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["llmos"] = "llmos"
    version: str
    """The Version that the name leads to now, such as smollm2@1."""
    max_model_len: int | None
    """The context window, in tokens."""


class OpenAIModels(msgspec.Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[OpenAIModel]


@router.get("", summary="List the names that answer", responses=openapi.answers(OpenAIModels))
@requires(Permission.INFERENCE)
async def list_models(request: Request) -> Response:
    services = services_of(request)
    versions = await asyncio.to_thread(_all, services)
    if _ANTHROPIC in request.headers:
        models = [anthropic_models.model(name, version) for name, version in versions.items()]
        return json_response(anthropic_models.page(models, request.query_params))
    return json_response(OpenAIModels(data=[_described(name, version) for name, version in versions.items()]))


@router.get("/{model:path}", summary="Say what a name leads to", responses=openapi.answers(OpenAIModel))
@requires(Permission.INFERENCE)
async def get_model(request: Request, model: str) -> Response:
    services = services_of(request)
    version = await asyncio.to_thread(services.routes.resolve_primary, model)
    return json_response(
        anthropic_models.model(model, version) if _ANTHROPIC in request.headers else _described(model, version)
    )


def _all(services: Services) -> dict[str, ServedModel]:
    """What every Route that leads somewhere leads to, then every model."""
    versions: dict[str, ServedModel] = {}
    for name in [route.name for route in services.routes.list()] + [each.model for each in services.registry.list()]:
        try:
            versions[name] = services.routes.resolve_primary(name)
        except LLMOSError:
            continue  # A Route to a model that was removed: asking for it says so.
    return versions


def _described(name: str, version: ServedModel) -> OpenAIModel:
    return OpenAIModel(
        id=name,
        created=int(version.created_at.timestamp()),
        version=version.ref,
        max_model_len=version.context_length,
    )
