"""/api/tags, show, ps, copy and delete, in Ollama's wire format: the names that answer, and what is behind them."""

import asyncio
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.errors import BadRequest, LLMOSError, ModelNotFound, NotFound
from llmos.deployments.removing import remove
from llmos.deployments.served_model import ServedModel
from llmos.engine.architectures import is_encoder
from llmos.engine.checkpoint.metadata import Metadata
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response, services_of
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import Services
from llmos.gateway.wires.ollama.fields import plain_name
from llmos.security.permissions import Permission

router = APIRouter(prefix="/api", tags=["ollama"])

REMOTE = "remote"
"""The family and the format of a model that a provider runs."""

NEVER = "9999-12-31T23:59:59Z"
"""When a model that runs is unloaded by itself."""


class ModelDetails(msgspec.Struct, kw_only=True):
    parent_model: str = ""
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class OllamaModel(msgspec.Struct, kw_only=True):
    name: str
    """A Route or a model, and the tag that Ollama's clients expect."""
    model: str
    modified_at: str
    size: int
    digest: str
    details: ModelDetails


class OllamaModels(msgspec.Struct):
    models: list[OllamaModel]


class NamedRequest(RequestObject, kw_only=True):
    model: str = ""
    """A Route, a model, or a reference to one Version of it; `NAME:latest` is NAME."""
    name: str = ""
    """The older name of this field."""

    harmless = frozenset({"verbose"})

    def plain(self) -> str:
        """Raises BadRequest where nothing is named."""
        if not (self.model or self.name):
            raise BadRequest("`model` is missing.", param="model")
        return plain_name(self.model or self.name)


class CopyRequest(RequestObject, kw_only=True):
    source: str
    destination: str


class ShownModel(msgspec.Struct, kw_only=True, omit_defaults=True):
    license: str = ""
    template: str = ""
    """The chat template, in Jinja."""
    parameters: str = ""
    """How tokens are chosen where a request doesn't say, a line each."""
    details: ModelDetails
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str


class RunningModel(msgspec.Struct, kw_only=True):
    name: str
    model: str
    size: int
    """Bytes of memory: the weights, and a full KV cache."""
    digest: str
    details: ModelDetails
    expires_at: str
    size_vram: int
    context_length: int


class RunningModels(msgspec.Struct):
    models: list[RunningModel]


@router.get(
    "/tags", summary="List the names that answer, for Ollama's clients", responses=openapi.answers(OllamaModels)
)
@requires(Permission.INFERENCE)
async def ollama_tags(request: Request) -> Response:
    return json_response(OllamaModels(await asyncio.to_thread(_all, services_of(request))))


@router.post(
    "/show",
    summary="Describe a model, for Ollama's clients",
    openapi_extra=openapi.body(NamedRequest, {"model": "dialogue"}),
    responses=openapi.answers(ShownModel),
)
@requires(Permission.MODELS_READ)
async def ollama_show(request: Request) -> Response:
    name = (await parse_body(request, NamedRequest)).plain()
    return json_response(await _show(services_of(request).pipeline, name))


@router.get("/ps", summary="List what runs, for Ollama's clients", responses=openapi.answers(RunningModels))
@requires(Permission.DEPLOYMENTS_READ)
async def ollama_ps(request: Request) -> Response:
    services = services_of(request)
    running = []
    for replica in services.pool.status():
        if replica.ready is None or replica.state not in ("ready", "stuck"):
            continue
        try:
            version = await asyncio.to_thread(services.routes.resolve_primary, replica.version)
        except ModelNotFound:
            continue  # It was removed while it ran, and goes with its last answer.
        running.append(
            RunningModel(
                name=version.ref,
                model=version.ref,
                size=replica.ready.weight_bytes + replica.ready.kv_bytes,
                digest=_digest(version),
                details=_details(version),
                expires_at=NEVER,
                size_vram=0,
                context_length=replica.ready.context_length,
            )
        )
    return json_response(RunningModels(running))


@router.post(
    "/copy",
    summary="Give a model a further name, for Ollama's clients",
    openapi_extra=openapi.body(CopyRequest, {"source": "dialogue", "destination": "my-model"}),
)
@requires(Permission.MODELS_WRITE)
async def ollama_copy(request: Request) -> Response:
    """The name is a Route to the Version that the source leads to now: no bytes are copied."""
    asked = await parse_body(request, CopyRequest)
    services = services_of(request)
    found = await asyncio.to_thread(services.routes.resolve_primary, plain_name(asked.source))
    await asyncio.to_thread(
        services.routes.set, plain_name(asked.destination), found.ref, actor=caller_of(request).actor
    )
    return Response(status_code=200)


@router.delete(
    "/delete",
    summary="Remove a Route or a model, for Ollama's clients",
    openapi_extra=openapi.body(NamedRequest, {"model": "a-model"}),
)
@requires(Permission.MODELS_WRITE)
async def ollama_delete(request: Request) -> Response:
    """A Route goes alone; a model with its Versions, and the files that no other needs. Those that run are stopped."""
    name = (await parse_body(request, NamedRequest)).plain()
    services = services_of(request)
    if name in {route.name for route in await asyncio.to_thread(services.routes.list)}:
        await asyncio.to_thread(services.routes.remove, name, actor=caller_of(request).actor)
        return Response(status_code=200)
    try:
        removed = await asyncio.to_thread(remove, services.registry, name, actor=caller_of(request).actor)
    except BadRequest:
        raise NotFound(f"There is no model {name[:80]!r}.", param="model") from None
    for version in removed.versions:
        await services.pipeline.stop(version, caller_of(request))
    return Response(status_code=200)


def _all(services: Services) -> list[OllamaModel]:
    """Every Route that leads somewhere, then every model."""
    models: dict[str, OllamaModel] = {}
    for name in [route.name for route in services.routes.list()] + [each.model for each in services.registry.list()]:
        try:
            version = services.routes.resolve_primary(name)
        except LLMOSError:
            continue  # A Route to a model that was removed: asking for it says so.
        models[name] = OllamaModel(
            name=f"{name}:latest",
            model=f"{name}:latest",
            modified_at=version.created_at.isoformat(),
            size=version.size_bytes or 0,
            digest=_digest(version),
            details=_details(version),
        )
    return list(models.values())


async def _show(pipeline: Pipeline, name: str) -> ShownModel:
    backend = await pipeline.backend(name)
    served, metadata = backend.served, await backend.metadata()
    if metadata is None:
        return ShownModel(
            details=_details(served),
            model_info={"general.architecture": REMOTE, "general.source": served.source},
            capabilities=["completion", "tools"],
            modified_at=served.created_at.isoformat(),
        )
    return ShownModel(
        license=served.license or "",
        template=metadata.template or "",
        parameters="\n".join(f"{field} {value:g}" for field, value in served.sampling.items()),
        details=_details(served),
        model_info=_model_info(served, metadata),
        capabilities=_capabilities(served, metadata),
        modified_at=served.created_at.isoformat(),
    )


def _model_info(version: ServedModel, metadata: Metadata) -> dict[str, Any]:
    """What the files say, and what is known of every model, whatever they say."""
    known = {
        "general.architecture": version.family,
        "general.parameter_count": version.parameters,
        f"{version.family}.context_length": version.context_length,
    }
    return dict(metadata.facts) | {key: value for key, value in known.items() if value is not None}


def _capabilities(version: ServedModel, metadata: Metadata) -> list[str]:
    if is_encoder(version.family or REMOTE):
        return ["embedding"]
    can_chat = metadata.template is not None
    can = {"completion": True, "tools": can_chat, "thinking": metadata.supports_thinking}
    return [name for name, is_so in can.items() if is_so]


def _details(version: ServedModel) -> ModelDetails:
    return ModelDetails(
        format=version.format or REMOTE,
        family=version.family or REMOTE,
        families=[version.family or REMOTE],
        parameter_size=_parameter_size(version.parameters),
        quantization_level=version.quantization or "",
    )


def _digest(version: ServedModel) -> str:
    """Empty for a model that a provider runs."""
    return (version.digest or "").removeprefix("sha256:")


def _parameter_size(num_parameters: int | None) -> str:
    """134515008 -> "134.52M". Empty where it isn't known."""
    if num_parameters is None:
        return ""
    if num_parameters >= 1_000_000_000:
        return f"{num_parameters / 1e9:.1f}B"
    return f"{num_parameters / 1e6:.2f}M"
