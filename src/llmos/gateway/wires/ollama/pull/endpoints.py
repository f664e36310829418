"""POST /api/pull: pulls a model of the catalog."""

from fastapi import APIRouter, Request, Response

from llmos.core.actions import describe_action
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.services import services_of
from llmos.gateway.wires.ollama.pull.answers import PullProgress
from llmos.gateway.wires.ollama.pull.fields import PullRequest
from llmos.gateway.wires.ollama.pull.stream import PullResponse
from llmos.gateway.wires.ollama.stream import MEDIA_TYPE
from llmos.security.permissions import Permission

router = APIRouter()


@router.post(
    "/api/pull",
    tags=["ollama"],
    summary="Pull a model of the catalog (Ollama)",
    openapi_extra=openapi.body(PullRequest, {"model": "smollm2", "stream": False}),
    responses=openapi.answers(PullProgress, PullProgress, MEDIA_TYPE),
)
@requires(Permission.MODELS_WRITE, "model.pull")
async def ollama_pull(request: Request) -> Response:
    body = await parse_body(request, PullRequest)
    actor = caller_of(request).actor
    describe_action(body.model_name())
    return PullResponse(services_of(request), body.model_name(), actor, stream=body.stream)
