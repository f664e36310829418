"""POST /v2/models/{model}/infer: texts go in as a tensor, and their continuations come out as one."""

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from llmos.core.connected import while_connected
from llmos.gateway.calls.call import Call
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import decode, read_body
from llmos.gateway.http.sse import cache_headers, cost_headers, receipt_headers, with_cache_control
from llmos.gateway.services import services_of
from llmos.gateway.wires.open_inference.infer.answers import HEADER_LENGTH, InferAnswer, InferRenderer
from llmos.gateway.wires.open_inference.infer.fields import InferRequest
from llmos.gateway.wires.open_inference.infer.tensors import split
from llmos.gateway.wires.open_inference.versions import version_reference
from llmos.security.permissions import Permission

router = APIRouter(prefix="/v2/models", tags=["open inference"])

_BODY = openapi.body(
    InferRequest,
    {
        "inputs": [{"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["The meaning of life is"]}],
        "parameters": {"max_tokens": 20},
    },
)


# The longer path comes first: a name may have slashes.


@router.post(
    "/{model:path}/versions/{version}/infer",
    summary="Continue texts with a version",
    openapi_extra=_BODY,
    responses=openapi.answers(InferAnswer),
)
@requires(Permission.INFERENCE)
async def infer_with_version(request: Request, model: str, version: str) -> Response:
    return await _infer(request, model, version)


@router.post(
    "/{model:path}/infer",
    summary="Continue texts",
    openapi_extra=_BODY,
    responses=openapi.answers(InferAnswer),
)
@requires(Permission.INFERENCE)
async def infer(request: Request, model: str) -> Response:
    return await _infer(request, model, None)


async def _infer(request: Request, model: str, number: str | None) -> Response:
    header, binary = split(await read_body(request), request.headers.get(HEADER_LENGTH))
    body = decode(header, InferRequest)
    texts, parameters = body.read(binary)
    renderer = InferRenderer(body, texts, parameters)
    name = model if number is None else await version_reference(services_of(request), model, number)
    return InferResponse(
        services_of(request).pipeline, parameters.call(name, texts.values, caller_of(request)), renderer
    )


class InferResponse(Response):
    """Runs a call and sends its tensors. Cancels the call as soon as the caller hangs up."""

    def __init__(self, pipeline: Pipeline, call: Call, renderer: InferRenderer) -> None:
        super().__init__()
        self._pipeline, self._call, self._renderer = pipeline, call, renderer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._call = with_cache_control(self._call, scope)
        await while_connected(receive, self._answer(scope, receive, send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._pipeline.generate(self._call, is_streamed=False) as answer:
            response = await self._renderer.complete(answer)
            response.headers.update(cache_headers(answer))
            response.headers.update(receipt_headers(answer) | cost_headers(answer))
        await response(scope, receive, send)
