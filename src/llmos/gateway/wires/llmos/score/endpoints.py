"""POST /v1/score, in vLLM's format: the scores of pairs of texts."""

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
from llmos.gateway.wires.llmos.score.answers import Score, ScoreList
from llmos.gateway.wires.llmos.score.fields import ScoreRequest
from llmos.security.permissions import Permission

router = APIRouter()


@router.post(
    "/v1/score",
    tags=["inference"],
    summary="Score pairs of texts",
    openapi_extra=openapi.body(
        ScoreRequest, {"model": "minilm", "text_1": "A river.", "text_2": ["A stream of water.", "A tax on land."]}
    ),
    responses=openapi.answers(ScoreList),
)
@requires(Permission.INFERENCE)
async def score(request: Request) -> WorkResponse:
    body = await parse_body(request, ScoreRequest)
    call, pipeline = body.call(caller_of(request)), services_of(request).pipeline
    return WorkResponse(lambda: _score(pipeline, call))


async def _score(pipeline: Pipeline, call: EmbedCall) -> sse.Work:
    embeddings = await pipeline.embed(call)
    scores = await asyncio.to_thread(embeddings.scores)
    return sse.embedded(
        embeddings,
        ScoreList(
            id=embeddings.id,
            created=embeddings.created,
            model=embeddings.served.ref,
            data=[Score(i, each) for i, each in enumerate(scores)],
            usage=embedding_usage(embeddings),
        ),
    )
