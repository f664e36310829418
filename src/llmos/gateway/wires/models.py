"""GET /v1/models: the names that `model` accepts. OpenAI and Anthropic share this path; a header selects the format."""

import asyncio

from fastapi import APIRouter, Request, Response

from llmos.gateway.calls.names import served_models
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.services import services_of
from llmos.gateway.wires.anthropic import models as anthropic_models
from llmos.gateway.wires.anthropic.models import AnthropicModel, AnthropicModels
from llmos.gateway.wires.openai.models.answers import OpenAIModel, OpenAIModels, render_model
from llmos.security.permissions import Permission

_ANTHROPIC = "anthropic-version"

_HEADER = {"name": _ANTHROPIC, "in": "header", "schema": {"type": "string"}, "description": "Anthropic's format."}
_PAGE = openapi.query(anthropic_models.ModelQuery)["parameters"]

router = APIRouter(prefix="/v1/models", tags=["inference"])


@router.get(
    "",
    summary="List models",
    openapi_extra={"parameters": [_HEADER, *_PAGE]},
    responses=openapi.answers(OpenAIModels, or_=AnthropicModels),
)
@requires(Permission.INFERENCE)
async def list_models(request: Request) -> Response:
    """The applications of the key's project are among them. `after_id`, `before_id` and `limit` are for Anthropic's
    format; OpenAI's lists all."""
    services = services_of(request)
    models = await asyncio.to_thread(served_models, services.routes, services.registry, caller_of(request))
    models |= services.applications.served(caller_of(request))
    if _ANTHROPIC in request.headers:
        rendered = [anthropic_models.render_model(name, model) for name, model in models.items()]
        return json_response(anthropic_models.page(rendered, request.query_params))
    return json_response(OpenAIModels(data=[render_model(name, model) for name, model in models.items()]))


@router.get(
    "/{model:path}",
    summary="Describe a model",
    openapi_extra={"parameters": [_HEADER]},
    responses=openapi.answers(OpenAIModel, or_=AnthropicModel),
)
@requires(Permission.INFERENCE)
async def get_model(request: Request, model: str) -> Response:
    services = services_of(request)
    caller_of(request).check_model(model)
    version = services.applications.served(caller_of(request)).get(model)
    if version is None:
        version = await asyncio.to_thread(services.routes.resolve_primary, model)
    return json_response(
        anthropic_models.render_model(model, version) if _ANTHROPIC in request.headers else render_model(model, version)
    )
