"""Rendering of an answer as a response, complete or as a stream of events."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from functools import partial
from typing import Literal

import msgspec

from llmos.core.errors import LLMOSError
from llmos.engine.messages import FinishReason
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.applications import ApplicationRun, cited_parts
from llmos.gateway.http import sse
from llmos.gateway.http.sse import AnswerRenderer
from llmos.gateway.wires.openai.responses.answers import (
    ErrorCode,
    IncompleteDetails,
    Response,
    ResponseError,
)
from llmos.gateway.wires.openai.responses.fields import ResponseRequest
from llmos.gateway.wires.openai.responses.output import Annotation, Event, OutputItems
from llmos.gateway.wires.openai.responses.searching import Searching
from llmos.gateway.wires.openai.responses.usage import render_usage


def cite(run: ApplicationRun, text: str) -> list[Annotation]:
    """Return what the text of an application's answer rests on."""
    return [
        {
            "type": "file_citation",
            "file_id": part.citation.digest,
            "filename": part.citation.document,
            "index": part.end,
            "citation": msgspec.to_builtins(part.citation),
        }
        for part in cited_parts(run, text)
    ]


StoreResponse = Callable[[str, bytes], Awaitable[None]]
"""Stores a complete response, given its id and its JSON."""


class ResponseRenderer(AnswerRenderer):
    """Renders an answer as a response, complete or as events, and stores it at its end."""

    def __init__(
        self, request: ResponseRequest, store: StoreResponse | None, searching: Searching | None = None
    ) -> None:
        """`store`: None if the response is not to be stored. `searching`: runs file_search, if there is one."""
        self._request, self._store, self._searching = request, store, searching
        self._output = OutputItems(
            wants_logprobs=request.wants_logprobs,
            runs_searches=searching is not None,
            wants_results=request.wants_results,
        )
        self._num_events = 0
        self._finish_reason: FinishReason = "stop"
        self._answers: list[Answer] = []

    async def complete(self, answer: Answer) -> bytes:
        async for events in self._play(answer):
            for _ in events:
                pass  # A complete response needs the items only.
        for _ in self._output.end(is_cut=self._finish_reason == "length"):
            pass
        response = self._final_response()
        await self._keep(response)
        return sse.encode(response)

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        async for events in self._play(answer):
            opening = b"" if self._num_events else self._render(self._opening_events())
            if chunk := opening + self._render(events):
                yield chunk
        last = self._render(self._output.end(is_cut=self._finish_reason == "length"))
        response = self._final_response()
        if last:
            yield last
        await self._keep(response)
        yield self._render([{"type": f"response.{response.status}", "response": response}])

    async def _play(self, answer: Answer) -> AsyncGenerator[Iterable[Event], None]:
        """Yield the events of each delta, and of each search. Every iterable must be read to its end."""
        self._answers.append(answer)
        if answer.application is not None:
            self._output.cite = partial(cite, answer.application)
        while True:
            async for delta in self._answers[-1].deltas:
                yield self._output.add(delta)
                self._finish_reason = delta.finish_reason or self._finish_reason
            if self._searching is None or self._finish_reason != "tool_calls" or not self._output.pending_searches():
                return
            yield self._output.begin_searches()
            await self._searching.run(self._output)
            if not self._output.has_calls:
                self._answers.append(await self._searching.go_on(self._output, self._answers))
                self._finish_reason = "stop"
            yield self._output.end_searches()

    def end(self) -> bytes:
        return b""

    def failure(self, error: LLMOSError) -> bytes:
        event = {"type": "error", "code": error.code, "message": error.message, "param": error.param}
        response = self._response("failed")
        response.error = ResponseError(_error_code(error), error.message)
        return self._render([event, {"type": "response.failed", "response": response}])

    def _opening_events(self) -> Iterable[Event]:
        response = self._response("in_progress")
        return [{"type": kind, "response": response} for kind in ("response.created", "response.in_progress")]

    def _render(self, events: Iterable[Event]) -> bytes:
        chunk = b""
        for event in events:
            chunk += sse.event({**event, "sequence_number": self._num_events}, event["type"])
            self._num_events += 1
        return chunk

    async def _keep(self, response: Response) -> None:
        """Store the response with the passages of its searches, which a later request may ask for."""
        if self._store is not None:
            await self._store(response.id, sse.encode(msgspec.structs.replace(response, output=self._output.items)))

    def _final_response(self) -> Response:
        response = self._response(_STATUS[self._finish_reason])
        if self._finish_reason == "content_filter":
            response.incomplete_details = IncompleteDetails("content_filter")
        return response

    def _response(self, status: Literal["in_progress", "completed", "incomplete", "failed"]) -> Response:
        assert self._answers, "a response begins with the first call's answer"
        answer = self._answers[0]
        request, sampling = self._request, answer.call.sampling.with_defaults(answer.served.sampling)
        return Response(
            id=answer.id,
            created_at=answer.created,
            completed_at=int(time.time()) if status == "completed" else None,
            status=status,
            incomplete_details=IncompleteDetails("max_output_tokens") if status == "incomplete" else None,
            model=self._answers[-1].served.ref,
            output=self._output.visible_items,
            usage=None
            if status in ("in_progress", "failed")
            else render_usage(*self._answers, num_reasoning_tokens=self._output.num_reasoning_tokens),
            warnings=[warning for each in self._answers for warning in each.warnings] or msgspec.UNSET,
            receipts=self._receipts(),
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

    def _receipts(self) -> list[str] | msgspec.UnsetType:
        """Return where the receipts of several calls are. That of one call is in a header."""
        paths = [sse.receipt_path(answer) for answer in self._answers if answer.has_receipt]
        return paths if len(paths) > 1 else msgspec.UNSET


def _error_code(error: LLMOSError) -> ErrorCode:
    """Return the closest of OpenAI's codes for responses. The error event has the code of LLMOS."""
    if error.status in (402, 429):
        return "rate_limit_exceeded"
    return "server_error" if error.status >= 500 else "invalid_prompt"


_STATUS: dict[FinishReason, Literal["completed", "incomplete"]] = {
    "stop": "completed", "tool_calls": "completed", "length": "incomplete",
    "content_filter": "incomplete",
}  # fmt: skip
