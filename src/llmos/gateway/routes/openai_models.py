"""GET /v1/models, in OpenAI's wire format: the names that `model` takes."""

import asyncio
from typing import Literal

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.errors import LLMOSError
from llmos.gateway import openapi
from llmos.gateway.services import Services
from llmos.models.versions import Version

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
async def list_models(request: Request) -> Response:
    services: Services = request.app.state.services
    models = await asyncio.to_thread(_all, services)
    return Response(msgspec.json.encode(OpenAIModels(data=models)), media_type="application/json")


@router.get("/{model:path}", summary="Say what a name leads to", responses=openapi.answers(OpenAIModel))
async def get_model(request: Request, model: str) -> Response:
    services: Services = request.app.state.services
    version = await asyncio.to_thread(services.routes.resolve, model)
    return Response(msgspec.json.encode(_described(model, version)), media_type="application/json")


def _all(services: Services) -> list[OpenAIModel]:
    """Every Route that leads somewhere, then every model."""
    models: dict[str, OpenAIModel] = {}
    for name in [route.name for route in services.routes.list()] + [each.model for each in services.registry.list()]:
        try:
            models[name] = _described(name, services.routes.resolve(name))
        except LLMOSError:
            continue  # A Route to a model that was removed: asking for it says so.
    return list(models.values())


def _described(name: str, version: Version) -> OpenAIModel:
    return OpenAIModel(
        id=name,
        created=int(version.created_at.timestamp()),
        version=version.ref,
        max_model_len=version.context_length,
    )
