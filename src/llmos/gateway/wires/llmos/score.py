"""POST /v1/score, in vLLM's format: how alike are two texts?"""

import asyncio
from typing import Literal

import msgspec
from fastapi import APIRouter, Request

from llmos.core.errors import BadRequest
from llmos.gateway.calls.embedding import MAX_INPUTS, EmbedCall, check_inputs, cosines
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, services_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import WorkResponse
from llmos.gateway.wires.openai.embeddings import EmbeddingUsage, TextsRequest, usage
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

router = APIRouter()


class ScoreRequest(TextsRequest, kw_only=True):
    text_1: str | list[str]
    """One text, which is compared with all of text_2, or as many as there."""
    text_2: str | list[str]

    def call(self, caller: Caller) -> EmbedCall:
        """Raises BadRequest for what the types alone can't tell."""
        firsts, seconds = _texts(self.text_1, "text_1"), _texts(self.text_2, "text_2")
        if len(firsts) not in (1, len(seconds)):
            raise BadRequest(
                f"`text_1` has {len(firsts):,} texts and `text_2` {len(seconds):,}; send one text_1, or as many.",
                param="text_1",
            )
        if len(firsts) + len(seconds) > MAX_INPUTS:
            raise BadRequest(
                f"There are {len(firsts) + len(seconds):,} texts; a call takes {MAX_INPUTS:,}. Split them.",
                param="text_2",
            )
        names = [name for _, name in firsts + seconds]
        return EmbedCall(
            model=self.model,
            inputs=check_inputs([text for text, _ in firsts + seconds], names),
            names=names,
            truncate_to=self.truncate_to(),
            num_queries=len(firsts),
            caller=self.on_behalf_of(caller),
            id_prefix="score",
        )


def _texts(value: str | list[str], field: str) -> list[tuple[str, str]]:
    """The texts, each with its name."""
    if isinstance(value, str):
        return [(value, field)]
    if not value:
        raise BadRequest(f"`{field}` is empty: send at least one text.", param=field)
    return [(text, f"{field}[{i}]") for i, text in enumerate(value)]


class Score(msgspec.Struct):
    index: int
    score: float
    """The cosine of the two texts' vectors."""
    object: Literal["score"] = "score"


class ScoreList(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    """The Version that really answered, such as minilm@1."""
    data: list[Score]
    usage: EmbeddingUsage


@router.post(
    "/v1/score",
    tags=["inference"],
    summary="Say how alike texts are",
    openapi_extra=openapi.body(
        ScoreRequest, {"model": "minilm", "text_1": "A river.", "text_2": ["A stream of water.", "A tax on land."]}
    ),
    responses=openapi.answers(ScoreList),
)
@requires(Permission.INFERENCE)
async def score(request: Request) -> WorkResponse:
    asked = await parse_body(request, ScoreRequest)
    call, pipeline = asked.call(caller_of(request)), services_of(request).pipeline
    return WorkResponse(lambda: _score(pipeline, call))


async def _score(pipeline: Pipeline, call: EmbedCall) -> bytes:
    embeddings = await pipeline.embed(call)
    num_firsts = call.num_queries or 0
    firsts, seconds = embeddings.vectors[:num_firsts], embeddings.vectors[num_firsts:]
    scores = await asyncio.to_thread(cosines, firsts * len(seconds) if num_firsts == 1 else firsts, seconds)
    return sse.encode(
        ScoreList(
            id=embeddings.id,
            created=embeddings.created,
            model=embeddings.served.ref,
            data=[Score(i, each) for i, each in enumerate(scores)],
            usage=usage(embeddings),
        )
    )
