"""GET /v1/models: the names that `model` accepts. OpenAI and Anthropic share this path; a header selects the format."""

import asyncio

from fastapi import APIRouter, Request, Response

from llmos.core.errors import LLMOSError
from llmos.deployments.served_model import ServedModel
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.services import Services, services_of
from llmos.gateway.wires.anthropic import models as anthropic_models
from llmos.gateway.wires.openai.models.answers import OpenAIModel, OpenAIModels, render_model
from llmos.security.permissions import Permission

_ANTHROPIC = "anthropic-version"

router = APIRouter(prefix="/v1/models", tags=["inference"])


@router.get("", summary="List the names that answer", responses=openapi.answers(OpenAIModels))
@requires(Permission.INFERENCE)
async def list_models(request: Request) -> Response:
    services = services_of(request)
    versions = await asyncio.to_thread(_all, services)
    if _ANTHROPIC in request.headers:
        models = [anthropic_models.render_model(name, version) for name, version in versions.items()]
        return json_response(anthropic_models.page(models, request.query_params))
    return json_response(OpenAIModels(data=[render_model(name, version) for name, version in versions.items()]))


@router.get("/{model:path}", summary="Say what a name leads to", responses=openapi.answers(OpenAIModel))
@requires(Permission.INFERENCE)
async def get_model(request: Request, model: str) -> Response:
    services = services_of(request)
    version = await asyncio.to_thread(services.routes.resolve_primary, model)
    return json_response(
        anthropic_models.render_model(model, version) if _ANTHROPIC in request.headers else render_model(model, version)
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
