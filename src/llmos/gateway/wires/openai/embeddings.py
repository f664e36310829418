"""POST /v1/embeddings, in OpenAI's wire format."""

from typing import Annotated, ClassVar, Literal

import msgspec
from fastapi import APIRouter, Request
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.gateway.calls import embedding
from llmos.gateway.calls.embedding import EmbedCall, Embeddings, inputs_of
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, services_of
from llmos.gateway.http.requests import Int64, RequestObject, Unsupported, parse_body
from llmos.gateway.http.sse import WorkResponse
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

router = APIRouter()

TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class TextsRequest(RequestObject, kw_only=True):
    """What all requests have in common that read texts and write none."""

    model: str
    """A Route or a model: GET /v1/models lists them."""
    truncate: bool = False
    """Leave out the end of a text that is too long. Without it, that is an error which says by how much."""
    truncate_prompt_tokens: Annotated[int, Int64] | None = None
    """Leave out what is beyond so many tokens of a text. -1: what is beyond the model's limit."""
    user: Annotated[str, Meta(max_length=512)] = ""
    """Which of your own users asks: under load they take turns."""
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    """The higher goes first; whoever waits long rises."""

    def on_behalf_of(self, caller: Caller) -> Caller:
        return caller.on_behalf_of(self.user, self.priority)

    def truncate_to(self) -> int | None:
        """Return what EmbedCall calls so. Raises BadRequest."""
        limit = self.truncate_prompt_tokens
        if limit is None:
            return 0 if self.truncate else None
        if limit < 1 and limit != -1:
            raise BadRequest(
                f"`truncate_prompt_tokens` is {limit}; it takes a number from 1 up, or -1 for the model's limit.",
                param="truncate_prompt_tokens",
            )
        return max(limit, 0)


class EmbeddingRequest(TextsRequest, kw_only=True):
    input: str | list[str | TokenId | list[TokenId]]
    """A text, a list of texts, a list of tokens, or a list of such lists: 2,048 at most. Tokens are the model's own,
    and taken as they stand."""
    encoding_format: Literal["float", "base64"] = "float"
    """base64: of floats of 32 bits, little-endian."""
    dimensions: Annotated[int, Int64] | None = None
    """So many of each vector's numbers, the first ones. Where the model's vectors have the length 1, so have these."""
    prompt_name: str | None = None
    """What goes before each text, by the name that the model's files give it, such as `query`."""

    harmless = frozenset({"metadata"})
    unsupported: ClassVar = {
        "input_type": Unsupported("name one of the model's own prompts in `prompt_name`, or leave it out."),
    }

    def call(self, caller: Caller) -> EmbedCall:
        """Raises BadRequest for what the types alone can't tell."""
        inputs, names = inputs_of(self.input, "input")
        return EmbedCall(
            model=self.model,
            inputs=inputs,
            names=names,
            dimensions=self.dimensions,
            truncate_to=self.truncate_to(),
            prompt=self.prompt_name,
            caller=self.on_behalf_of(caller),
        )


class Embedding(msgspec.Struct):
    index: int
    embedding: list[float] | str
    """A string with encoding_format base64."""
    object: Literal["embedding"] = "embedding"


class EmbeddingUsage(msgspec.Struct):
    prompt_tokens: int
    """Computed for all texts, control tokens and prompts included."""
    total_tokens: int


class EmbeddingList(msgspec.Struct, kw_only=True):
    object: Literal["list"] = "list"
    model: str
    """The Version that really answered, such as minilm@1."""
    data: list[Embedding]
    usage: EmbeddingUsage


def usage(embeddings: Embeddings) -> EmbeddingUsage:
    return EmbeddingUsage(embeddings.num_prompt_tokens, embeddings.num_prompt_tokens)


@router.post(
    "/v1/embeddings",
    tags=["inference"],
    summary="Turn texts into vectors",
    openapi_extra=openapi.body(EmbeddingRequest, {"model": "minilm", "input": ["A river.", "A stream of water."]}),
    responses=openapi.answers(EmbeddingList),
)
@requires(Permission.INFERENCE)
async def create_embeddings(request: Request) -> WorkResponse:
    asked = await parse_body(request, EmbeddingRequest)
    call, pipeline = asked.call(caller_of(request)), services_of(request).pipeline
    return WorkResponse(lambda: _embed(pipeline, call, asked.encoding_format))


async def _embed(pipeline: Pipeline, call: EmbedCall, encoding: Literal["float", "base64"]) -> bytes:
    embeddings = await pipeline.embed(call)
    spell = embedding.base64 if encoding == "base64" else embedding.floats
    return sse.encode(
        EmbeddingList(
            model=embeddings.served.ref,
            data=[Embedding(i, spell(vector)) for i, vector in enumerate(embeddings.vectors)],
            usage=usage(embeddings),
        )
    )
