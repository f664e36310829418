"""How POST /v1/responses spells an answer: one response, or the events that it comes to."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any, Literal

import msgspec
from msgspec import field

from llmos.core.errors import LLMOSError
from llmos.engine.messages import FinishReason
from llmos.gateway.calls.answer import Answer
from llmos.gateway.http import sse
from llmos.gateway.http.sse import Wire
from llmos.gateway.wires.openai.answers import PromptTokensDetails
from llmos.gateway.wires.openai.responses.fields import ResponseRequest
from llmos.gateway.wires.openai.responses.items import Item
from llmos.gateway.wires.openai.responses.output import Event, Output

Keep = Callable[[str, bytes], Awaitable[None]]
"""Told the id of a response and what it is, when it is whole."""


ErrorCode = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]


class OutputTokensDetails(msgspec.Struct):
    reasoning_tokens: int
    """Of the answer's tokens, those that the model thought before it spoke."""


class ResponseUsage(msgspec.Struct):
    input_tokens: int
    input_tokens_details: PromptTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class IncompleteDetails(msgspec.Struct):
    reason: Literal["max_output_tokens", "content_filter"]
    """max_output_tokens: or the end of the context window."""


class ResponseError(msgspec.Struct):
    code: ErrorCode
    message: str


class Response(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    model: str
    """The Version that really answered, such as smollm2@1."""
    output: list[Item]
    usage: ResponseUsage | None = None
    previous_response_id: str | None
    instructions: str | None
    max_output_tokens: int | None
    temperature: float
    top_p: float
    top_logprobs: int
    text: dict[str, Any]
    tools: list[dict[str, Any]]
    tool_choice: str | dict[str, Any]
    parallel_tool_calls: bool
    metadata: dict[str, str]
    prompt_cache_key: str | None
    safety_identifier: str | None
    user: str | None
    store: bool
    background: Literal[False] = False
    reasoning: dict[str, None] = field(default_factory=lambda: {"effort": None, "summary": None})
    service_tier: Literal["default"] = "default"
    truncation: Literal["disabled"] = "disabled"


class ResponseEvent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One event of a stream. Its name is its type."""

    type: str
    sequence_number: int
    response: Response | None = None
    output_index: int | None = None
    item: Item | None = None
    item_id: str | None = None
    content_index: int | None = None
    part: dict[str, Any] | None = None
    delta: str | None = None
    text: str | None = None
    name: str | None = None
    arguments: str | None = None
    logprobs: list[Any] | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None


class ResponsesWire(Wire):
    def __init__(self, asked: ResponseRequest, keep: Keep | None) -> None:
        self._asked, self._keep = asked, keep
        self._output = Output(wants_logprobs=asked.wants_logprobs)
        self._num_events = 0
        self._answer: Answer | None = None

    async def whole(self, answer: Answer) -> bytes:
        finish_reason: FinishReason = "stop"
        async for delta in answer.deltas:
            for _ in self._output.add(delta):
                pass  # The items are what counts.
            finish_reason = delta.finish_reason or finish_reason
        for _ in self._output.end(is_cut=finish_reason == "length"):
            pass
        return await self._kept(self._ended(answer, finish_reason))

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        self._answer = answer
        finish_reason: FinishReason = "stop"
        async for delta in answer.deltas:
            opening = b"" if self._num_events else self._spelled(self._begun(answer))
            if chunk := opening + self._spelled(self._output.add(delta)):
                yield chunk
            finish_reason = delta.finish_reason or finish_reason
        last = self._spelled(self._output.end(is_cut=finish_reason == "length"))
        response = self._ended(answer, finish_reason)
        if last:
            yield last
        await self._kept(response)
        yield self._spelled([{"type": f"response.{response.status}", "response": response}])

    def end(self) -> bytes:
        return b""

    def failure(self, error: LLMOSError) -> bytes:
        assert self._answer is not None, "a stream that fails has begun"
        told = {"type": "error", "code": error.code, "message": error.message, "param": error.param}
        response = self._response(self._answer, "failed")
        response.error = ResponseError(_error_code(error), error.message)
        return self._spelled([told, {"type": "response.failed", "response": response}])

    def _begun(self, answer: Answer) -> Iterable[Event]:
        response = self._response(answer, "in_progress")
        return [{"type": kind, "response": response} for kind in ("response.created", "response.in_progress")]

    def _spelled(self, events: Iterable[Event]) -> bytes:
        chunk = b""
        for event in events:
            chunk += sse.event({**event, "sequence_number": self._num_events}, event["type"])
            self._num_events += 1
        return chunk

    async def _kept(self, response: Response) -> bytes:
        body = sse.encode(response)
        if self._keep is not None:
            await self._keep(response.id, body)
        return body

    def _ended(self, answer: Answer, finish_reason: FinishReason) -> Response:
        response = self._response(answer, _STATUS[finish_reason])
        if finish_reason == "content_filter":
            response.incomplete_details = IncompleteDetails("content_filter")
        return response

    def _response(
        self, answer: Answer, status: Literal["in_progress", "completed", "incomplete", "failed"]
    ) -> Response:
        asked, sampling = self._asked, answer.call.sampling.with_defaults(answer.served.sampling)
        return Response(
            id=answer.id,
            created_at=answer.created,
            completed_at=int(time.time()) if status == "completed" else None,
            status=status,
            incomplete_details=IncompleteDetails("max_output_tokens") if status == "incomplete" else None,
            model=answer.served.ref,
            output=self._output.items,
            usage=None if status in ("in_progress", "failed") else self._usage(answer),
            previous_response_id=asked.previous_response_id,
            instructions=asked.instructions,
            max_output_tokens=asked.max_output_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_logprobs=asked.top_logprobs or 0,
            text=msgspec.to_builtins(asked.text),
            tools=msgspec.to_builtins(asked.tools),
            tool_choice=msgspec.to_builtins(asked.tool_choice),
            parallel_tool_calls=asked.parallel_tool_calls,
            metadata=asked.metadata,
            prompt_cache_key=asked.prompt_cache_key,
            safety_identifier=asked.safety_identifier,
            user=asked.user or None,
            store=asked.store,
        )

    def _usage(self, answer: Answer) -> ResponseUsage:
        num_input, num_output = answer.num_prompt_tokens, answer.num_completion_tokens
        return ResponseUsage(
            num_input,
            PromptTokensDetails(answer.num_cached_tokens),
            num_output,
            OutputTokensDetails(self._output.num_reasoning_tokens),
            num_input + num_output,
        )


def _error_code(error: LLMOSError) -> ErrorCode:
    """The nearest of those that OpenAI has here. The event before says our own."""
    if error.status == 429:
        return "rate_limit_exceeded"
    return "server_error" if error.status >= 500 else "invalid_prompt"


_STATUS: dict[FinishReason, Literal["completed", "incomplete"]] = {
    "stop": "completed", "tool_calls": "completed", "length": "incomplete",
    "content_filter": "incomplete",
}  # fmt: skip
