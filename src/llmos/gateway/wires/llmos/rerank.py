"""POST /v1/rerank, in the format that Cohere and Jina share: which of these documents answer a query?"""

import asyncio
from typing import Annotated, ClassVar

import msgspec
from fastapi import APIRouter, Request
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.gateway.calls.embedding import MAX_INPUTS, EmbedCall, check_inputs, cosines
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, services_of
from llmos.gateway.http.requests import RequestObject, Unsupported, parse_body
from llmos.gateway.http.sse import WorkResponse
from llmos.gateway.wires.openai.embeddings import EmbeddingUsage, TextsRequest, usage
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

router = APIRouter()


class Document(RequestObject):
    text: str


class RerankRequest(TextsRequest, kw_only=True):
    query: str
    documents: list[str | Document]
    """2,047 at most."""
    top_n: Annotated[int, Meta(ge=1)] | None = None
    """Return so many of them only, the best. Without it, all."""
    return_documents: bool = False
    """Return their texts, too."""

    lists: ClassVar = {"documents": Document}
    unsupported: ClassVar = {
        "max_tokens_per_doc": Unsupported("`truncate_prompt_tokens` leaves out the end of texts."),
        "max_chunks_per_doc": Unsupported("a document is one text. Leave it out."),
        "rank_fields": Unsupported("a document has one field, its text. Leave it out."),
    }

    def texts(self) -> list[str]:
        return [each if isinstance(each, str) else each.text for each in self.documents]

    def call(self, caller: Caller) -> EmbedCall:
        """Raises BadRequest for what the types alone can't tell."""
        texts = [self.query, *self.texts()]
        names = ["query", *(f"documents[{i}]" for i in range(len(self.documents)))]
        if not self.documents:
            raise BadRequest("`documents` is empty: send at least one text.", param="documents")
        if len(texts) > MAX_INPUTS:
            raise BadRequest(
                f"`documents` has {len(self.documents):,} texts; a call takes {MAX_INPUTS - 1:,}. Split them.",
                param="documents",
            )
        return EmbedCall(
            model=self.model,
            inputs=check_inputs([*texts], names),
            names=names,
            truncate_to=self.truncate_to(),
            num_queries=1,
            caller=self.on_behalf_of(caller),
            id_prefix="rerank",
        )


class RerankedDocument(msgspec.Struct):
    text: str


class Reranked(msgspec.Struct, omit_defaults=True):
    index: int
    """Its place in the request."""
    relevance_score: float
    """The cosine of its vector and the query's."""
    document: RerankedDocument | None = None


class RerankAnswer(msgspec.Struct, kw_only=True):
    id: str
    model: str
    """The Version that really answered, such as minilm@1."""
    results: list[Reranked]
    """The best first."""
    usage: EmbeddingUsage


@router.post(
    "/v1/rerank",
    tags=["inference"],
    summary="Put documents in the order in which they answer a query",
    openapi_extra=openapi.body(
        RerankRequest,
        {"model": "minilm", "query": "What is a river?", "documents": ["A stream of water.", "A tax on land."]},
    ),
    responses=openapi.answers(RerankAnswer),
)
@requires(Permission.INFERENCE)
async def rerank(request: Request) -> WorkResponse:
    asked = await parse_body(request, RerankRequest)
    call, pipeline = asked.call(caller_of(request)), services_of(request).pipeline
    return WorkResponse(lambda: _rerank(pipeline, asked, call))


async def _rerank(pipeline: Pipeline, asked: RerankRequest, call: EmbedCall) -> bytes:
    embeddings = await pipeline.embed(call)
    query, *documents = embeddings.vectors
    scores = await asyncio.to_thread(cosines, [query] * len(documents), documents)
    # Of equals, the earlier one first.
    order = sorted(range(len(scores)), key=lambda i: -scores[i])[: asked.top_n]
    texts = asked.texts()
    results = [Reranked(i, scores[i], RerankedDocument(texts[i]) if asked.return_documents else None) for i in order]
    return sse.encode(
        RerankAnswer(id=embeddings.id, model=embeddings.served.ref, results=[*results], usage=usage(embeddings))
    )
