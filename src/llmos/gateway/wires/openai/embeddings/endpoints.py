"""POST /v1/embeddings."""

from typing import Literal

from fastapi import APIRouter, Request

from llmos.gateway.calls import embedding
from llmos.gateway.calls.embedding import EmbedCall
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.answers import embedding_usage
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import WorkResponse
from llmos.gateway.services import services_of
from llmos.gateway.wires.openai.embeddings.answers import Embedding, EmbeddingList
from llmos.gateway.wires.openai.embeddings.fields import EmbeddingRequest
from llmos.security.permissions import Permission

router = APIRouter()


@router.post(
    "/v1/embeddings",
    tags=["inference"],
    summary="Create embeddings of texts",
    openapi_extra=openapi.body(EmbeddingRequest, {"model": "minilm", "input": ["A river.", "A stream of water."]}),
    responses=openapi.answers(EmbeddingList),
)
@requires(Permission.INFERENCE)
async def create_embeddings(request: Request) -> WorkResponse:
    body = await parse_body(request, EmbeddingRequest)
    call, pipeline = body.call(caller_of(request)), services_of(request).pipeline
    return WorkResponse(lambda: _embed(pipeline, call, body.encoding_format))


async def _embed(pipeline: Pipeline, call: EmbedCall, encoding: Literal["float", "base64"]) -> sse.Work:
    embeddings = await pipeline.embed(call)
    encode = embedding.base64 if encoding == "base64" else embedding.floats
    return sse.embedded(
        embeddings,
        EmbeddingList(
            model=embeddings.served.ref,
            data=[Embedding(i, encode(vector)) for i, vector in enumerate(embeddings.vectors)],
            usage=embedding_usage(embeddings),
        ),
    )
