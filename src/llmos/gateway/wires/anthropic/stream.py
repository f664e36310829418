"""Rendering of an answer as a message, complete or as a stream of events."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec

from llmos.core.errors import LLMOSError
from llmos.engine.messages import Delta
from llmos.gateway.calls.answer import Answer
from llmos.gateway.http import sse
from llmos.gateway.http.sse import AnswerRenderer
from llmos.gateway.wires.anthropic.answers import (
    AnswerBlock,
    AnswerText,
    AnswerThinking,
    AnswerToolUse,
    CharLocation,
    call_input,
    render_citations,
    render_message,
    stop_reason,
    usage,
)
from llmos.gateway.wires.anthropic.errors import error_body


class MessageRenderer(AnswerRenderer):
    """Renders an answer as a message, or as events."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    async def complete(self, answer: Answer) -> bytes:
        (choice,) = await answer.read_choices()
        content: list[AnswerBlock] = []
        if choice.reasoning:
            content.append(AnswerThinking(choice.reasoning))
        if choice.text:
            content.append(AnswerText(choice.text, render_citations(answer, choice.text) or msgspec.UNSET))
        content += [AnswerToolUse(call.id, call.name, call_input(call)) for call in choice.tool_calls]
        reason, sequence = stop_reason(answer, choice.finish_reason, choice.stop_reason)
        return sse.encode(render_message(answer, content, reason, sequence))

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        blocks = _BlockEvents()
        has_begun, text = False, ""
        async for delta in answer.deltas:
            chunk = b""
            if not has_begun:
                # Sent with the first delta, which has the number of cached tokens.
                has_begun = True
                chunk = sse.event({"type": "message_start", "message": render_message(answer, [])}, "message_start")
                chunk += sse.event({"type": "ping"}, "ping")
            chunk += blocks.push(delta)
            text += delta.text if answer.application is not None else ""
            if delta.finish_reason is not None:
                reason, sequence = stop_reason(answer, delta.finish_reason, delta.stop_reason)
                ending = {"stop_reason": reason, "stop_sequence": sequence}
                event = {"type": "message_delta", "delta": ending, "usage": usage(answer)}
                if answer.warnings:
                    event["warnings"] = answer.warnings
                chunk += blocks.cite(render_citations(answer, text)) + blocks.close()
                chunk += sse.event(event, "message_delta")
            if chunk:
                yield chunk

    def end(self) -> bytes:
        return sse.event({"type": "message_stop"}, "message_stop")

    def failure(self, error: LLMOSError) -> bytes:
        return sse.event(error_body(error, self._request_id), "error")


class _BlockEvents:
    """Events of a stream's content blocks. At most one block is open."""

    def __init__(self) -> None:
        self._num_begun = 0
        self._open: str | int | None = None
        """`thinking`, `text` or the index of a call; None if no block is open."""

    def push(self, delta: Delta) -> bytes:
        """Return the events for a delta."""
        chunk = b""
        if delta.reasoning:
            chunk += self._enter("thinking", AnswerThinking(""))
            chunk += self._delta({"type": "thinking_delta", "thinking": delta.reasoning})
        if delta.text:
            chunk += self._enter("text", AnswerText(""))
            chunk += self._delta({"type": "text_delta", "text": delta.text})
        for call in delta.tool_calls:
            chunk += self._enter(call.index, AnswerToolUse(call.id, call.name, {}))
            if call.arguments:
                chunk += self._delta({"type": "input_json_delta", "partial_json": call.arguments})
        return chunk

    def cite(self, citations: Sequence[CharLocation]) -> bytes:
        """Return the events with the citations of the open block of text."""
        if self._open != "text":
            return b""
        return b"".join(self._delta({"type": "citations_delta", "citation": each}) for each in citations)

    def close(self) -> bytes:
        """Return the event that closes the open block, if there is one."""
        if self._open is None:
            return b""
        self._open = None
        return sse.event({"type": "content_block_stop", "index": self._num_begun - 1}, "content_block_stop")

    def _enter(self, key: str | int, block: AnswerBlock) -> bytes:
        """Return the events that open the block, unless it is open."""
        if self._open == key:
            return b""
        chunk = self.close()
        event = {"type": "content_block_start", "index": self._num_begun, "content_block": block}
        self._open = key
        self._num_begun += 1
        return chunk + sse.event(event, "content_block_start")

    def _delta(self, delta: dict[str, Any]) -> bytes:
        event = {"type": "content_block_delta", "index": self._num_begun - 1, "delta": delta}
        return sse.event(event, "content_block_delta")
