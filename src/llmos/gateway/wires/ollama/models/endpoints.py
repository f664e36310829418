"""/api/tags, show, ps, copy and delete: the models and their names."""

import asyncio

from fastapi import APIRouter, Request, Response

from llmos.core.actions import describe_action
from llmos.core.errors import BadRequest, ModelNotFound, NotFound
from llmos.deployments.removing import remove
from llmos.gateway.calls.names import served_models
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import parse_body
from llmos.gateway.services import services_of
from llmos.gateway.wires.ollama.fields import strip_latest
from llmos.gateway.wires.ollama.models.answers import (
    REMOTE,
    OllamaModels,
    RunningModel,
    RunningModels,
    ShownModel,
    capabilities_of,
    details_of,
    model_info_of,
    render_model,
    render_running,
    tagged,
)
from llmos.gateway.wires.ollama.models.fields import CopyRequest, ModelRequest
from llmos.security.permissions import Permission

router = APIRouter(prefix="/api", tags=["ollama"])


@router.get("/tags", summary="List models (Ollama)", responses=openapi.answers(OllamaModels))
@requires(Permission.INFERENCE)
async def ollama_tags(request: Request) -> Response:
    services = services_of(request)
    models = await asyncio.to_thread(served_models, services.routes, services.registry, caller_of(request))
    models |= services.applications.served(caller_of(request))
    return json_response(OllamaModels([render_model(name, model) for name, model in models.items()]))


@router.post(
    "/show",
    summary="Describe a model (Ollama)",
    openapi_extra=openapi.body(ModelRequest, {"model": "dialogue"}),
    responses=openapi.answers(ShownModel),
)
@requires(Permission.MODELS_READ)
async def ollama_show(request: Request) -> Response:
    name = (await parse_body(request, ModelRequest)).model_name()
    caller_of(request).check_model(name)
    return json_response(await _show(services_of(request).pipeline, name))


@router.get("/ps", summary="List running models (Ollama)", responses=openapi.answers(RunningModels))
@requires(Permission.DEPLOYMENTS_READ)
async def ollama_ps(request: Request) -> Response:
    """List each running version under the names of /api/tags that lead to it, so that clients can match the two lists.

    A version that no such name leads to is listed by its reference.
    """
    services = services_of(request)
    models = await asyncio.to_thread(served_models, services.routes, services.registry, caller_of(request))
    running: list[RunningModel] = []
    for replica in services.pool.status():
        if replica.ready is None or replica.state not in ("ready", "stuck"):
            continue
        try:
            version = await asyncio.to_thread(services.routes.resolve_primary, replica.version)
        except ModelNotFound:
            continue  # The model was removed while it ran; its process stops after its last answer.
        names = [tagged(name) for name, model in models.items() if model.ref == version.ref] or [version.ref]
        running += [render_running(name, version, replica.ready) for name in names]
    return json_response(RunningModels(running))


@router.post(
    "/copy",
    summary="Give a model another name (Ollama)",
    openapi_extra=openapi.body(CopyRequest, {"source": "dialogue", "destination": "my-model"}),
    response_class=Response,
)
@requires(Permission.MODELS_WRITE, "route.set")
async def ollama_copy(request: Request) -> Response:
    """Create a route to the version that the source stands for now. No files are copied."""
    body = await parse_body(request, CopyRequest)
    services = services_of(request)
    describe_action(strip_latest(body.destination))
    found = await asyncio.to_thread(services.routes.resolve_primary, strip_latest(body.source))
    await asyncio.to_thread(
        services.routes.set, strip_latest(body.destination), found.ref, actor=caller_of(request).actor
    )
    return Response(status_code=200)


@router.delete(
    "/delete",
    summary="Delete a route or a model (Ollama)",
    openapi_extra=openapi.body(ModelRequest, {"model": "a-model"}),
    response_class=Response,
)
@requires(Permission.MODELS_WRITE, "model.remove")
async def ollama_delete(request: Request) -> Response:
    """Delete a route, or a model with its versions and the files that no other model needs. Stops running versions."""
    name = (await parse_body(request, ModelRequest)).model_name()
    services = services_of(request)
    describe_action(name)
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


async def _show(pipeline: Pipeline, name: str) -> ShownModel:
    backend = await pipeline.backend(name)
    served, metadata = backend.served, await backend.metadata()
    if metadata is None:
        return ShownModel(
            details=details_of(served),
            model_info={"general.architecture": REMOTE, "general.source": served.source},
            capabilities=["completion", "tools"],
            modified_at=served.created_at.isoformat(),
        )
    return ShownModel(
        license=served.license or "",
        template=metadata.template or "",
        parameters="\n".join(f"{field} {value:g}" for field, value in served.sampling.items()),
        details=details_of(served),
        model_info=model_info_of(served, metadata),
        capabilities=capabilities_of(served, metadata),
        modified_at=served.created_at.isoformat(),
    )
