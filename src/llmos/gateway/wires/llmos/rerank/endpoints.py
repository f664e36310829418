"""POST /v1/rerank, in the format that Cohere and Jina share: orders documents by their relevance to a query."""

import asyncio

from fastapi import APIRouter, Request

from llmos.gateway.calls.embedding import EmbedCall
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.answers import embedding_usage
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import WorkResponse
from llmos.gateway.services import services_of
from llmos.gateway.wires.llmos.rerank.answers import RerankAnswer, Reranked, RerankedDocument
from llmos.gateway.wires.llmos.rerank.fields import RerankRequest
from llmos.security.permissions import Permission

router = APIRouter()


@router.post(
    "/v1/rerank",
    tags=["inference"],
    summary="Order documents by their relevance to a query",
    openapi_extra=openapi.body(
        RerankRequest,
        {"model": "minilm", "query": "What is a river?", "documents": ["A stream of water.", "A tax on land."]},
    ),
    responses=openapi.answers(RerankAnswer),
)
@requires(Permission.INFERENCE)
async def rerank(request: Request) -> WorkResponse:
    body = await parse_body(request, RerankRequest)
    call, pipeline = body.call(caller_of(request)), services_of(request).pipeline
    return WorkResponse(lambda: _rerank(pipeline, body, call))


async def _rerank(pipeline: Pipeline, body: RerankRequest, call: EmbedCall) -> sse.Work:
    embeddings = await pipeline.embed(call)
    scores = await asyncio.to_thread(embeddings.scores)
    # The sort is stable: of documents with equal scores, the earlier one comes first.
    order = sorted(range(len(scores)), key=lambda i: -scores[i])[: body.top_n]
    texts = body.texts()
    results = [Reranked(i, scores[i], RerankedDocument(texts[i]) if body.return_documents else None) for i in order]
    return sse.embedded(
        embeddings,
        RerankAnswer(id=embeddings.id, model=embeddings.served.ref, results=results, usage=embedding_usage(embeddings)),
    )
