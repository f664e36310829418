"""Rendering of an answer as a response, complete or as a stream of events."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Literal

import msgspec

from llmos.core.errors import LLMOSError
from llmos.engine.messages import FinishReason
from llmos.gateway.calls.answer import Answer
from llmos.gateway.http import sse
from llmos.gateway.http.answers import PromptTokensDetails
from llmos.gateway.http.sse import AnswerRenderer
from llmos.gateway.wires.openai.responses.answers import (
    ErrorCode,
    IncompleteDetails,
    OutputTokensDetails,
    Response,
    ResponseError,
    ResponseUsage,
)
from llmos.gateway.wires.openai.responses.fields import ResponseRequest
from llmos.gateway.wires.openai.responses.output import Event, OutputItems

StoreResponse = Callable[[str, bytes], Awaitable[None]]
"""Told the id of a response and what it is, when it is whole."""


class ResponseRenderer(AnswerRenderer):
    def __init__(self, asked: ResponseRequest, keep: StoreResponse | None) -> None:
        self._asked, self._store = asked, keep
        self._output = OutputItems(wants_logprobs=asked.wants_logprobs)
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
        return await self._stored(self._ended(answer, finish_reason))

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        self._answer = answer
        finish_reason: FinishReason = "stop"
        async for delta in answer.deltas:
            opening = b"" if self._num_events else self._render(self._begun(answer))
            if chunk := opening + self._render(self._output.add(delta)):
                yield chunk
            finish_reason = delta.finish_reason or finish_reason
        last = self._render(self._output.end(is_cut=finish_reason == "length"))
        response = self._ended(answer, finish_reason)
        if last:
            yield last
        await self._stored(response)
        yield self._render([{"type": f"response.{response.status}", "response": response}])

    def end(self) -> bytes:
        return b""

    def failure(self, error: LLMOSError) -> bytes:
        assert self._answer is not None, "a stream that fails has begun"
        told = {"type": "error", "code": error.code, "message": error.message, "param": error.param}
        response = self._response(self._answer, "failed")
        response.error = ResponseError(_error_code(error), error.message)
        return self._render([told, {"type": "response.failed", "response": response}])

    def _begun(self, answer: Answer) -> Iterable[Event]:
        response = self._response(answer, "in_progress")
        return [{"type": kind, "response": response} for kind in ("response.created", "response.in_progress")]

    def _render(self, events: Iterable[Event]) -> bytes:
        chunk = b""
        for event in events:
            chunk += sse.event({**event, "sequence_number": self._num_events}, event["type"])
            self._num_events += 1
        return chunk

    async def _stored(self, response: Response) -> bytes:
        body = sse.encode(response)
        if self._store is not None:
            await self._store(response.id, body)
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
