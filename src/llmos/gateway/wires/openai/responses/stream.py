"""Rendering of an answer as a response, complete or as a stream of events."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Literal

import msgspec

from llmos.core.errors import LLMOSError
from llmos.engine.messages import FinishReason
from llmos.gateway.calls.answer import Answer
from llmos.gateway.http import sse
from llmos.gateway.http.sse import AnswerRenderer
from llmos.gateway.wires.openai.responses.answers import (
    ErrorCode,
    IncompleteDetails,
    Response,
    ResponseError,
)
from llmos.gateway.wires.openai.responses.fields import ResponseRequest
from llmos.gateway.wires.openai.responses.output import Event, OutputItems
from llmos.gateway.wires.openai.responses.usage import render_usage

StoreResponse = Callable[[str, bytes], Awaitable[None]]
"""Stores a complete response, given its id and its JSON."""


class ResponseRenderer(AnswerRenderer):
    """Renders an answer as a response, complete or as events, and stores it at its end."""

    def __init__(self, request: ResponseRequest, store: StoreResponse | None) -> None:
        """`store`: None if the response is not to be stored."""
        self._request, self._store = request, store
        self._output = OutputItems(wants_logprobs=request.wants_logprobs)
        self._num_events = 0
        self._answer: Answer | None = None

    async def complete(self, answer: Answer) -> bytes:
        finish_reason: FinishReason = "stop"
        async for delta in answer.deltas:
            for _ in self._output.add(delta):
                pass  # A complete response needs the items only.
            finish_reason = delta.finish_reason or finish_reason
        for _ in self._output.end(is_cut=finish_reason == "length"):
            pass
        return await self._store_and_encode(self._final_response(answer, finish_reason))

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        self._answer = answer
        finish_reason: FinishReason = "stop"
        async for delta in answer.deltas:
            opening = b"" if self._num_events else self._render(self._opening_events(answer))
            if chunk := opening + self._render(self._output.add(delta)):
                yield chunk
            finish_reason = delta.finish_reason or finish_reason
        last = self._render(self._output.end(is_cut=finish_reason == "length"))
        response = self._final_response(answer, finish_reason)
        if last:
            yield last
        await self._store_and_encode(response)
        yield self._render([{"type": f"response.{response.status}", "response": response}])

    def end(self) -> bytes:
        return b""

    def failure(self, error: LLMOSError) -> bytes:
        assert self._answer is not None, "failure() is called after the stream has begun"
        event = {"type": "error", "code": error.code, "message": error.message, "param": error.param}
        response = self._response(self._answer, "failed")
        response.error = ResponseError(_error_code(error), error.message)
        return self._render([event, {"type": "response.failed", "response": response}])

    def _opening_events(self, answer: Answer) -> Iterable[Event]:
        response = self._response(answer, "in_progress")
        return [{"type": kind, "response": response} for kind in ("response.created", "response.in_progress")]

    def _render(self, events: Iterable[Event]) -> bytes:
        chunk = b""
        for event in events:
            chunk += sse.event({**event, "sequence_number": self._num_events}, event["type"])
            self._num_events += 1
        return chunk

    async def _store_and_encode(self, response: Response) -> bytes:
        body = sse.encode(response)
        if self._store is not None:
            await self._store(response.id, body)
        return body

    def _final_response(self, answer: Answer, finish_reason: FinishReason) -> Response:
        response = self._response(answer, _STATUS[finish_reason])
        if finish_reason == "content_filter":
            response.incomplete_details = IncompleteDetails("content_filter")
        return response

    def _response(
        self, answer: Answer, status: Literal["in_progress", "completed", "incomplete", "failed"]
    ) -> Response:
        request, sampling = self._request, answer.call.sampling.with_defaults(answer.served.sampling)
        return Response(
            id=answer.id,
            created_at=answer.created,
            completed_at=int(time.time()) if status == "completed" else None,
            status=status,
            incomplete_details=IncompleteDetails("max_output_tokens") if status == "incomplete" else None,
            model=answer.served.ref,
            output=self._output.items,
            usage=None
            if status in ("in_progress", "failed")
            else render_usage(answer, num_reasoning_tokens=self._output.num_reasoning_tokens),
            warnings=answer.warnings or msgspec.UNSET,
            previous_response_id=request.previous_response_id,
            instructions=request.instructions,
            max_output_tokens=request.max_output_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_logprobs=request.top_logprobs or 0,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            max_tool_calls=request.max_tool_calls,
            reasoning={"effort": request.reasoning.effort if request.reasoning else None, "summary": None},
            text=msgspec.to_builtins(request.text),
            tools=msgspec.to_builtins(request.tools),
            tool_choice=msgspec.to_builtins(request.tool_choice),
            parallel_tool_calls=request.parallel_tool_calls,
            metadata=request.metadata,
            prompt_cache_key=request.prompt_cache_key,
            safety_identifier=request.safety_identifier,
            user=request.user or None,
            store=request.store,
        )


def _error_code(error: LLMOSError) -> ErrorCode:
    """Return the closest of OpenAI's codes for responses. The error event has the code of LLMOS."""
    if error.status == 429:
        return "rate_limit_exceeded"
    return "server_error" if error.status >= 500 else "invalid_prompt"


_STATUS: dict[FinishReason, Literal["completed", "incomplete"]] = {
    "stop": "completed", "tool_calls": "completed", "length": "incomplete",
    "content_filter": "incomplete",
}  # fmt: skip
