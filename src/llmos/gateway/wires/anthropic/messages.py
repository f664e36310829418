"""POST /v1/messages and /v1/messages/count_tokens, in Anthropic's wire format."""

from typing import Annotated, Any, ClassVar

import msgspec
from fastapi import APIRouter, Request
from msgspec import Meta
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmos.core.errors import BadRequest
from llmos.engine.checkpoint.recommended import RECOMMENDABLE
from llmos.engine.messages import SamplingParams
from llmos.gateway.calls.call import Call, Sampling
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import openapi
from llmos.gateway.http.error_formats import ErrorFormat
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, services_of
from llmos.gateway.http.requests import Int64, RequestObject, Unsupported, parse_body
from llmos.gateway.http.sse import AnswerResponse, while_connected
from llmos.gateway.wires.anthropic.answers import AnthropicAnswer, MessageEvent, MessageWire, error_body
from llmos.gateway.wires.anthropic.fields import ConversationFields
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

router = APIRouter(tags=["inference"])
error_format = ErrorFormat(
    paths=("/v1/messages",), header="anthropic-version", render=error_body, id_header="request-id"
)


class Metadata(RequestObject, kw_only=True):
    user_id: Annotated[str, Meta(max_length=512)] = ""
    """Which of your own users asks: under load they take turns."""


class MessagesRequest(ConversationFields, kw_only=True):
    max_tokens: Annotated[int, Int64]
    """More than the context window has room for is no error: the answer then ends with the window, and says so."""
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: float | None = None
    top_k: Annotated[int, Int64] | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: Annotated[int, Int64] | None = None
    stop_sequences: list[str] = msgspec.field(default_factory=list)
    stream: bool = False
    metadata: Metadata | None = None

    objects: ClassVar = {**ConversationFields.objects, "metadata": Metadata}
    unsupported: ClassVar = {
        **ConversationFields.unsupported,
        "service_tier": Unsupported("there is one tier. Leave it out.", ("auto", "standard_only")),
        "stop": Unsupported("it is called `stop_sequences` here."),
    }

    def call(self, caller: Caller) -> Call:
        """Raises BadRequest for what the types alone can't tell."""
        given = {name: value for name in RECOMMENDABLE if (value := getattr(self, name)) is not None}
        params = SamplingParams(
            max_tokens=self.max_tokens, may_exceed_context=True, stop=self.stop_sequences, seed=self.seed, **given
        )
        return Call(
            model=self.model,
            prompts=[self.prompt()],
            sampling=Sampling(params, frozenset(given)),
            grammar=self.grammar(),
            tools=self.offered_tools(),
            template_options=self.template_options(),
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="msg",
        )

    def on_behalf_of(self, caller: Caller) -> Caller:
        user = self.metadata.user_id if self.metadata else ""
        if user and self.user:
            raise BadRequest("`user` and `metadata.user_id` both say who asks: send one of them.", param="user")
        return caller.on_behalf_of(user or self.user, self.priority)


class CountTokensRequest(ConversationFields, kw_only=True):
    def call(self, caller: Caller) -> Call:
        """Raises BadRequest for what the types alone can't tell."""
        return Call(
            model=self.model,
            prompts=[self.prompt()],
            sampling=Sampling(SamplingParams()),
            tools=self.offered_tools(),
            template_options=self.template_options(),
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="count",
        )


class TokenCount(msgspec.Struct):
    input_tokens: int
    """Of the whole prompt as the model reads it: its template, the system prompt, the tools and the messages."""


_EXAMPLE: dict[str, Any] = {
    "model": "dialogue",
    "messages": [{"role": "user", "content": "What is an operating system?"}],
}


@router.post(
    "/v1/messages",
    summary="Answer a conversation, in Anthropic's format",
    openapi_extra=openapi.body(MessagesRequest, {**_EXAMPLE, "max_tokens": 100}),
    responses=openapi.answers(AnthropicAnswer, MessageEvent),
)
@requires(Permission.INFERENCE)
async def create_message(request: Request) -> AnswerResponse:
    asked = await parse_body(request, MessagesRequest)
    wire = MessageWire(request.state.request_id)
    return AnswerResponse(services_of(request).pipeline, asked.call(caller_of(request)), wire, stream=asked.stream)


@router.post(
    "/v1/messages/count_tokens",
    summary="Count a prompt's tokens",
    openapi_extra=openapi.body(CountTokensRequest, _EXAMPLE),
    responses=openapi.answers(TokenCount),
)
@requires(Permission.INFERENCE)
async def count_tokens(request: Request) -> Response:
    asked = await parse_body(request, CountTokensRequest)
    return CountResponse(services_of(request).pipeline, asked.call(caller_of(request)))


class CountResponse(Response):
    """Counts a prompt's tokens where the model runs. Gives up when the caller hangs up."""

    def __init__(self, pipeline: Pipeline, call: Call) -> None:
        super().__init__()
        self._pipeline, self._call = pipeline, call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self._count(scope, receive, send))

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        num_tokens = await self._pipeline.count(self._call)
        body = msgspec.json.encode(TokenCount(num_tokens))
        await Response(body, media_type="application/json")(scope, receive, send)
