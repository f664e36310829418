"""POST /api/embed, and its deprecated form /api/embeddings."""

import time

from fastapi import APIRouter, Request

from llmos.gateway.calls import embedding
from llmos.gateway.calls.embedding import EmbedCall, Embeddings
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import WorkResponse
from llmos.gateway.services import services_of
from llmos.gateway.wires.ollama.embed.answers import OllamaVector, OllamaVectors
from llmos.gateway.wires.ollama.embed.fields import OllamaEmbeddingsRequest, OllamaEmbedRequest
from llmos.security.permissions import Permission

router = APIRouter(tags=["ollama"])


@router.post(
    "/api/embed",
    summary="Create embeddings of texts (Ollama)",
    openapi_extra=openapi.body(OllamaEmbedRequest, {"model": "minilm", "input": ["A river.", "A stream of water."]}),
    responses=openapi.answers(OllamaVectors),
)
@requires(Permission.INFERENCE)
async def ollama_embed(request: Request) -> WorkResponse:
    body = await parse_body(request, OllamaEmbedRequest)
    pipeline, call = services_of(request).pipeline, body.call(caller_of(request))
    must_unload = body.check_unload(call.caller)

    async def work() -> sse.Work:
        embeddings, answer = await _embed(pipeline, call, must_unload)
        return sse.embedded(embeddings, answer)

    return WorkResponse(work)


@router.post(
    "/api/embeddings",
    summary="Create an embedding of a text (Ollama, deprecated)",
    openapi_extra=openapi.body(OllamaEmbeddingsRequest, {"model": "minilm", "prompt": "A river."}),
    responses=openapi.answers(OllamaVector),
)
@requires(Permission.INFERENCE)
async def ollama_embeddings(request: Request) -> WorkResponse:
    body = await parse_body(request, OllamaEmbeddingsRequest)
    pipeline, call = services_of(request).pipeline, body.call(caller_of(request))
    must_unload = body.check_unload(call.caller)

    async def work() -> sse.Work:
        embeddings, answer = await _embed(pipeline, call, must_unload)
        return sse.embedded(embeddings, OllamaVector(answer.embeddings[0]))

    return WorkResponse(work)


async def _embed(pipeline: Pipeline, call: EmbedCall, must_unload: bool) -> tuple[Embeddings, OllamaVectors]:
    began = time.perf_counter()
    embeddings = await pipeline.embed(call)
    if must_unload:
        await pipeline.unload(call.model, call.caller)
    return embeddings, OllamaVectors(
        model=embeddings.served.ref,
        embeddings=[embedding.floats(vector) for vector in embeddings.vectors],
        total_duration=round((time.perf_counter() - began) * 1e9),
        load_duration=round(embeddings.attempt.loading_seconds * 1e9),
        prompt_eval_count=embeddings.num_prompt_tokens,
    )
