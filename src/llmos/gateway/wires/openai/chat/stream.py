"""Rendering of an answer as a chat completion, complete or streamed."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec

from llmos.engine.messages import Delta, TokenLogprob, ToolCallDelta
from llmos.gateway.calls.answer import Answer
from llmos.gateway.http import sse
from llmos.gateway.http.answers import usage
from llmos.gateway.http.sse import AnswerRenderer
from llmos.gateway.wires.openai.answers import PromptLogprobs, render_prompt_logprobs, token_logprobs
from llmos.gateway.wires.openai.chat.answers import (
    ChatChoice,
    ChatCompletion,
    ChoiceLogprobs,
    ChunkFunction,
    ChunkToolCall,
    render_annotations,
    render_message,
    render_run,
)
from llmos.gateway.wires.openai.stream import EventFrame


class ChatRenderer(AnswerRenderer):
    """Renders an answer as chat.completion, or as chat.completion.chunk events."""

    def __init__(
        self, *, wants_logprobs: bool, num_prompt_logprobs: int | None, wants_usage_event: bool, may_call: bool
    ) -> None:
        self._wants_logprobs = wants_logprobs
        self._num_prompt_logprobs = num_prompt_logprobs
        self._wants_usage_event = wants_usage_event
        self._may_call = may_call

    async def complete(self, answer: Answer) -> bytes:
        choices = await answer.read_choices()
        completion = ChatCompletion(
            id=answer.id,
            created=answer.created,
            model=answer.served.ref,
            system_fingerprint=answer.fingerprint,
            choices=[
                ChatChoice(
                    i,
                    render_message(choice, render_annotations(answer.application, choice.text)),
                    self._logprobs(choice.logprobs),
                    choice.finish_reason,
                )
                for i, choice in enumerate(choices)
            ],
            usage=usage(answer),
            warnings=answer.warnings or msgspec.UNSET,
            prompt_logprobs=await self._prompt_logprobs(answer),
            run=render_run(answer.application),
        )
        return sse.encode(completion)

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        # Encoded by hand: only the index, the text and the logprobs change from one event to the next.
        frame = EventFrame(answer, "chat.completion.chunk", wants_usage_event=self._wants_usage_event)
        opening, closing = frame.opening, frame.closing
        started: set[int] = set()
        text = ""
        async for delta in answer.deltas:
            choice = opening + b'{"index":%d,"delta":' % delta.index
            chunk = b""
            # The first event says whether the answer begins with text or a call, so it waits for the first of either.
            if delta.index not in started and not (self._may_call and _is_empty(delta)):
                started.add(delta.index)
                content = b"null" if delta.tool_calls and not delta.text else b'""'
                chunk = b'%b{"role":"assistant","content":%b},"logprobs":null,"finish_reason":null}%b' % (
                    choice, content, closing,
                )  # fmt: skip
            logprobs = sse.encode(self._logprobs(delta.logprobs)) if self._wants_logprobs else b"null"
            for added in self._additions(delta):
                chunk += b'%b%b,"logprobs":%b,"finish_reason":null}%b' % (choice, added, logprobs, closing)
                logprobs = b"null"
            if answer.application is not None:
                text += delta.text
            if delta.finish_reason is not None:
                if annotations := render_annotations(answer.application, text):
                    added = sse.encode({"annotations": annotations})
                    chunk += b'%b%b,"logprobs":null,"finish_reason":null}%b' % (choice, added, closing)
                chunk += b'%b{},"logprobs":null,"finish_reason":"%b"}%b' % (
                    choice, delta.finish_reason.encode(),
                    frame.closing_with(answer.warnings_of.get(delta.index, ()), render_run(answer.application)),
                )  # fmt: skip
            if chunk:  # A token that completes no character adds nothing.
                yield chunk
        if self._wants_usage_event:
            yield frame.usage_event(answer)

    def _additions(self, delta: Delta) -> list[bytes]:
        """Return what the delta adds to the message, in the order in which models produce it."""
        parts = []
        if delta.reasoning:
            parts.append(b'{"reasoning_content":%b}' % sse.encode(delta.reasoning))
        if delta.text:
            parts.append(b'{"content":%b}' % sse.encode(delta.text))
        if delta.tool_calls:
            parts.append(b'{"tool_calls":%b}' % sse.encode(_render_call_deltas(delta.tool_calls)))
        if delta.logprobs and not parts:
            parts.append(b"{}" if self._may_call else b'{"content":""}')
        return parts

    async def _prompt_logprobs(self, answer: Answer) -> PromptLogprobs | msgspec.UnsetType:
        if self._num_prompt_logprobs is None:
            return msgspec.UNSET
        # A long prompt has very many entries.
        return await asyncio.to_thread(render_prompt_logprobs, answer, 0, self._num_prompt_logprobs)

    def _logprobs(self, tokens: Sequence[TokenLogprob]) -> ChoiceLogprobs | None:
        return ChoiceLogprobs(token_logprobs(tokens)) if self._wants_logprobs else None


def _render_call_deltas(calls: Sequence[ToolCallDelta]) -> list[ChunkToolCall]:
    """Return what one step added to the calls, as an event sends it."""
    return [
        ChunkToolCall(call.index, ChunkFunction(call.arguments, call.name), call.id, "function")
        if call.id
        else ChunkToolCall(call.index, ChunkFunction(call.arguments))
        for call in calls
    ]


def _is_empty(delta: Delta) -> bool:
    """Return whether the delta adds nothing to the message and does not end it."""
    is_silent = not (delta.text or delta.reasoning or delta.tool_calls or delta.logprobs)
    return is_silent and delta.finish_reason is None
