"""/v2: the Open Inference Protocol, as KServe and Triton speak it. Text goes in as a tensor and comes out as one."""

import asyncio
from typing import Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from llmos import __version__
from llmos.core.errors import NotFound
from llmos.deployments.served_model import ServedModel
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.call import Call
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import openapi
from llmos.gateway.http.error_formats import ErrorFormat
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response, services_of
from llmos.gateway.http.requests import decode, read_body
from llmos.gateway.http.sse import while_connected
from llmos.gateway.services import Services
from llmos.gateway.wires.open_inference.fields import (
    OUTPUTS,
    SAMPLING,
    TEXT,
    InferParameters,
    InferRequest,
    error_body,
    version_number,
)
from llmos.gateway.wires.open_inference.tensors import OutputTensor, Tensor, decompress, split, write_tensors
from llmos.security.permissions import Permission

HEADER_LENGTH = "inference-header-content-length"


router = APIRouter(prefix="/v2", tags=["open inference"])
error_format = ErrorFormat(paths=("/v2",), render=lambda error, _: error_body(error))


class ServerLive(msgspec.Struct):
    live: Literal[True] = True


class ServerReady(msgspec.Struct):
    ready: bool


class ModelReady(msgspec.Struct):
    name: str
    ready: bool


class ServerMetadata(msgspec.Struct):
    name: Literal["llmos"] = "llmos"
    version: str = __version__
    extensions: list[str] = msgspec.field(default_factory=lambda: ["binary_tensor_data", "parameters", "generate"])


class TensorMetadata(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    """-1: any length."""


class ModelMetadata(msgspec.Struct, kw_only=True):
    name: str
    versions: list[str]
    platform: Literal["llmos"] = "llmos"
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class InferAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    id: str = ""
    """The request's own."""
    model_name: str
    model_version: str
    """The Version that really answered."""
    outputs: list[OutputTensor]
    parameters: dict[str, int]
    """num_cached_tokens: of the inputs' tokens, those that earlier requests had left."""


_METADATA: dict[str, Any] = {
    "inputs": [TensorMetadata(TEXT, "BYTES", [-1]), TensorMetadata(SAMPLING, "BYTES", [1])],
    "outputs": [TensorMetadata(name, datatype, [-1]) for name, datatype in OUTPUTS.items()],
}


@router.get("/health/live", summary="Is the server up?", responses=openapi.answers(ServerLive))
async def is_server_live() -> Response:
    return json_response(ServerLive())


@router.get("/health/ready", summary="Are its models loaded?", responses=openapi.answers(ServerReady))
async def is_server_ready(request: Request) -> Response:
    services = services_of(request)
    models = services.readiness.models(services.pool.status())
    is_ready = not services.readiness.is_draining and not any(model.reason for model in models)
    return json_response(ServerReady(is_ready), 200 if is_ready else 503)


@router.get("", summary="Say what the server is", responses=openapi.answers(ServerMetadata))
@requires(Permission.INFERENCE)
async def get_server_metadata() -> Response:
    return json_response(ServerMetadata())


@router.get("/models/{model}", summary="Say what a model takes and gives", responses=openapi.answers(ModelMetadata))
@requires(Permission.INFERENCE)
async def get_model_metadata(request: Request, model: str) -> Response:
    return await _metadata(request, model, None)


@router.get(
    "/models/{model}/versions/{version}",
    summary="Say what a Version takes and gives",
    responses=openapi.answers(ModelMetadata),
)
@requires(Permission.INFERENCE)
async def get_version_metadata(request: Request, model: str, version: str) -> Response:
    return await _metadata(request, model, version)


@router.get("/models/{model}/ready", summary="Can it answer?", responses=openapi.answers(ModelReady))
@requires(Permission.INFERENCE)
async def is_model_ready(request: Request, model: str) -> Response:
    return await _readiness(request, model, None)


@router.get("/models/{model}/versions/{version}/ready", summary="Can it answer?", responses=openapi.answers(ModelReady))
@requires(Permission.INFERENCE)
async def is_version_ready(request: Request, model: str, version: str) -> Response:
    return await _readiness(request, model, version)


_BODY = openapi.body(
    InferRequest,
    {
        "inputs": [{"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["The meaning of life is"]}],
        "parameters": {"max_tokens": 20},
    },
)


@router.post(
    "/models/{model}/infer",
    summary="Continue texts",
    openapi_extra=_BODY,
    responses=openapi.answers(InferAnswer),
)
@requires(Permission.INFERENCE)
async def infer(request: Request, model: str) -> Response:
    return await _infer(request, model, None)


@router.post(
    "/models/{model}/versions/{version}/infer",
    summary="Continue texts with a Version",
    openapi_extra=_BODY,
    responses=openapi.answers(InferAnswer),
)
@requires(Permission.INFERENCE)
async def infer_with_version(request: Request, model: str, version: str) -> Response:
    return await _infer(request, model, version)


async def _infer(request: Request, model: str, number: str | None) -> Response:
    body = decompress(await read_body(request), request.headers.get("content-encoding", ""))
    header, binary = split(body, request.headers.get(HEADER_LENGTH))
    asked = decode(header, InferRequest)
    texts, parameters = asked.read(binary)
    wire = InferWire(asked, texts, parameters)
    name = model if number is None else await _name(services_of(request), model, number)
    return InferResponse(services_of(request).pipeline, parameters.call(name, texts.values, caller_of(request)), wire)


class InferWire:
    """Spells an answer as output tensors."""

    def __init__(self, asked: InferRequest, texts: Tensor, parameters: InferParameters) -> None:
        self._asked, self._texts = asked, texts
        self._wanted, self._binary = asked.binary_outputs(parameters)

    async def whole(self, answer: Answer) -> Response:
        choices = await answer.whole()
        values: dict[str, list[Any]] = {
            "text_output": [choice.text for choice in choices],
            "finish_reason": [choice.finish_reason for choice in choices],
            "num_input_tokens": answer.num_prompt_tokens_of,
            "num_output_tokens": answer.num_completion_tokens_of,
        }
        wanted = [(name, OUTPUTS[name], values[name]) for name in self._wanted]
        outputs, data = write_tensors(wanted, self._texts.shape, self._binary)
        head = msgspec.json.encode(
            InferAnswer(
                id=self._asked.id,
                model_name=answer.served.model,
                model_version=version_number(answer.served),
                outputs=outputs,
                parameters={"num_cached_tokens": answer.num_cached_tokens},
            )
        )
        if not self._binary:
            return Response(head, media_type="application/json")
        return Response(head + data, headers={HEADER_LENGTH: str(len(head))}, media_type="application/octet-stream")


class InferResponse(Response):
    """Runs a call and sends its tensors. Ends the call as soon as the caller hangs up."""

    def __init__(self, pipeline: Pipeline, call: Call, wire: InferWire) -> None:
        super().__init__()
        self._pipeline, self._call, self._wire = pipeline, call, wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self._answer(scope, receive, send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._pipeline.generate(self._call, is_streamed=False) as answer:
            response = await self._wire.whole(answer)
        await response(scope, receive, send)


async def _version(services: Services, model: str, number: str | None) -> ServedModel:
    """Raises NotFound where there is no such Version."""
    found = await asyncio.to_thread(services.routes.resolve_primary, model)
    if number is None or number == version_number(found):
        return found
    versions = await _versions(services, found)
    if number not in versions:
        raise NotFound(f"{found.model} has no version {number!r:.50}; it has {', '.join(versions)}.", param="version")
    return await asyncio.to_thread(services.routes.resolve_primary, f"{found.model}@{number}")


async def _name(services: Services, model: str, number: str) -> str:
    """Return what to ask for: the one Version, where the model has several."""
    found = await _version(services, model, number)
    return model if found.number is None else found.ref


async def _versions(services: Services, found: ServedModel) -> list[str]:
    if found.number is None:
        return [version_number(found)]
    versions = await asyncio.to_thread(services.registry.list)
    return [str(each.number) for each in versions if each.model == found.model]


async def _metadata(request: Request, model: str, number: str | None) -> Response:
    version = await _version(services_of(request), model, number)
    versions = [number] if number else await _versions(services_of(request), version)
    return json_response(ModelMetadata(name=model, versions=versions, **_METADATA))


async def _readiness(request: Request, model: str, number: str | None) -> Response:
    """A model that isn't loaded is ready: its first request loads it. One that fails or is stuck isn't."""
    services = services_of(request)
    version = await _version(services, model, number)
    states = {replica.version: replica.state for replica in services.pool.status()}
    is_ready = states.get(version.ref, "stopped") in ("ready", "stopped") and not services.readiness.is_draining
    return json_response(ModelReady(model, is_ready), 200 if is_ready else 503)
