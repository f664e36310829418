"""POST /api/embed, and its older form /api/embeddings, in Ollama's wire format."""

import time
from typing import Annotated, ClassVar

import msgspec
from fastapi import APIRouter, Request

from llmos.gateway.calls import embedding, pipeline
from llmos.gateway.calls.abilities import check_embeds
from llmos.gateway.calls.embedding import EmbedCall, inputs_of
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.replies import services_of
from llmos.gateway.http.requests import Int64, parse_body
from llmos.gateway.http.sse import WorkResponse
from llmos.gateway.services import Services
from llmos.gateway.wires.ollama.answers import unload
from llmos.gateway.wires.ollama.fields import ModelFields, plain_name

router = APIRouter(tags=["ollama"])


class EmbedFields(ModelFields, kw_only=True):
    # Of the options, none changes a vector.
    harmless: ClassVar = frozenset({"options"})


class OllamaEmbedRequest(EmbedFields, kw_only=True):
    input: str | list[str]
    """A text, or a list of texts: 2,048 at most."""
    truncate: bool = False
    """Leave out the end of a text that is too long. Without it, that is an error which says by how much."""
    dimensions: Annotated[int, Int64] | None = None
    """So many of each vector's numbers, the first ones."""

    def call(self) -> EmbedCall:
        inputs, names = inputs_of(self.input, "input")
        return EmbedCall(
            model=plain_name(self.model),
            inputs=inputs,
            names=names,
            dimensions=self.dimensions,
            truncate_to=0 if self.truncate else None,
            origin=self.origin(),
        )


class OllamaEmbeddingsRequest(EmbedFields, kw_only=True):
    prompt: str

    def call(self) -> EmbedCall:
        inputs, names = inputs_of(self.prompt, "prompt")
        return EmbedCall(model=plain_name(self.model), inputs=inputs, names=names, origin=self.origin())


class OllamaVectors(msgspec.Struct, kw_only=True):
    model: str
    """The Version that really answered, such as minilm@1."""
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int
    """Tokens that were computed for all texts, control tokens included."""


class OllamaVector(msgspec.Struct):
    embedding: list[float]


@router.post(
    "/api/embed",
    summary="Turn texts into vectors, for Ollama's clients",
    openapi_extra=openapi.body(OllamaEmbedRequest, {"model": "minilm", "input": ["A river.", "A stream of water."]}),
    responses=openapi.answers(OllamaVectors),
)
async def ollama_embed(request: Request) -> WorkResponse:
    asked = await parse_body(request, OllamaEmbedRequest)
    services, call, must_unload = services_of(request), asked.call(), asked.must_unload

    async def work(tenant: str) -> bytes:
        return sse.encode(await _vectors(services, call, tenant, must_unload))

    return WorkResponse(work)


@router.post(
    "/api/embeddings",
    summary="Turn a text into a vector, for Ollama's older clients",
    openapi_extra=openapi.body(OllamaEmbeddingsRequest, {"model": "minilm", "prompt": "A river."}),
    responses=openapi.answers(OllamaVector),
)
async def ollama_embeddings(request: Request) -> WorkResponse:
    asked = await parse_body(request, OllamaEmbeddingsRequest)
    services, call, must_unload = services_of(request), asked.call(), asked.must_unload

    async def work(tenant: str) -> bytes:
        return sse.encode(OllamaVector((await _vectors(services, call, tenant, must_unload)).embeddings[0]))

    return WorkResponse(work)


async def _vectors(services: Services, call: EmbedCall, tenant: str, must_unload: bool) -> OllamaVectors:
    began = time.perf_counter_ns()
    version, loadable = await services.lookup.get(call.model)
    await check_embeds(services, version)
    await services.pool.ensure(loadable.version.ref, loadable.files)
    loaded = time.perf_counter_ns()
    embeddings = await pipeline.embed(services, call, tenant)
    if must_unload:
        await unload(services, call.model)
    return OllamaVectors(
        model=embeddings.version.ref,
        embeddings=[embedding.floats(vector) for vector in embeddings.vectors],
        total_duration=time.perf_counter_ns() - began,
        load_duration=loaded - began,
        prompt_eval_count=embeddings.num_prompt_tokens,
    )
