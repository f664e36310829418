"""POST /llmos/v1/likelihood: how likely given texts are behind a prompt. Nothing is generated."""

import asyncio

from fastapi import APIRouter, Request

from llmos.core.schemas.likelihood import LikelihoodDescription
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.calls.rating import RateCall
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import VERSION_HEADER, Work, WorkResponse, cost_headers, receipt_headers
from llmos.gateway.services import services_of
from llmos.gateway.wires.llmos.likelihood.answers import render_likelihood
from llmos.gateway.wires.llmos.likelihood.fields import LikelihoodRequest
from llmos.security.permissions import Permission

router = APIRouter()


@router.post(
    "/llmos/v1/likelihood",
    tags=["inference"],
    summary="Score given texts",
    openapi_extra=openapi.body(
        LikelihoodRequest,
        {"model": "dialogue", "prompt": "Is a llama an animal? Answer:", "continuations": [" yes", " no"]},
    ),
    responses=openapi.answers(LikelihoodDescription),
)
@requires(Permission.INFERENCE)
async def likelihood(request: Request) -> WorkResponse:
    body = await parse_body(request, LikelihoodRequest)
    call, pipeline = body.call(caller_of(request)), services_of(request).pipeline
    return WorkResponse(lambda: _likelihood(pipeline, body, call))


async def _likelihood(pipeline: Pipeline, body: LikelihoodRequest, call: RateCall) -> Work:
    ratings = await pipeline.rate(call)
    # A thousand options with twenty likely tokens each take a while to render.
    encoded = await asyncio.to_thread(lambda: sse.encode(render_likelihood(ratings, body.normalize)))
    return Work(encoded, {VERSION_HEADER: ratings.served.ref, **receipt_headers(ratings), **cost_headers(ratings)})
