"""GET /api/version and /, by which clients detect a server, and endpoints of Ollama that LLMOS does not have."""

from fastapi import APIRouter, Request, Response

from llmos import __version__
from llmos.core.errors import BadRequest
from llmos.gateway.http import openapi
from llmos.gateway.http.error_formats import ErrorFormat
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.wires.ollama.errors import OllamaError, error_body
from llmos.gateway.wires.ollama.server.answers import API_VERSION, OllamaVersion
from llmos.security.permissions import Permission

router = APIRouter(tags=["ollama"])

error_format = ErrorFormat(paths=("/api/",), body=OllamaError, render=lambda error, _: error_body(error))

_IMPORT = "Import models with `llmos import PATH --name NAME` on the server's machine"

_ADVICE = {
    "/api/create": f"{_IMPORT}. Send the other settings of a Modelfile with each request, as `system` and `options`.",
    "/api/push": "Models stay on the server. `llmos push` sends a version to another server.",
    "/api/blobs/{digest}": f"{_IMPORT}. Their files are imported with them.",
}


@router.get("/api/version", summary="Return the version of Ollama's API", responses=openapi.answers(OllamaVersion))
@requires(Permission.INFERENCE)
async def ollama_version(request: Request) -> Response:
    return json_response(OllamaVersion(API_VERSION, __version__))


@router.get("/", include_in_schema=False)
@requires(Permission.INFERENCE)
async def ollama_heartbeat(request: Request) -> Response:
    return Response(b"LLMOS is running.", media_type="text/plain")


@router.post("/api/create", include_in_schema=False)
@router.post("/api/push", include_in_schema=False)
@router.post("/api/blobs/{digest}", include_in_schema=False)
@requires(Permission.INFERENCE)
async def ollama_unsupported(request: Request) -> Response:
    path = request.scope["route"].path
    raise BadRequest(f"POST {path} is not supported. {_ADVICE[path]}")
