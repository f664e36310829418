"""How an answer is spelled in Anthropic's format: blocks of thinking, text and calls, whole or as they come."""

from collections.abc import AsyncGenerator
from typing import Any, Literal

import msgspec

from llmos.core.errors import LLMOSError
from llmos.engine.messages import Delta, FinishReason
from llmos.gateway.calls.answer import Answer, ToolCall
from llmos.gateway.http import sse
from llmos.gateway.http.sse import Wire

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded", "refusal"]


class AnthropicUsage(msgspec.Struct):
    """The prompt has input_tokens + cache_read_input_tokens."""

    input_tokens: int
    """Of the prompt, what had to be computed."""
    cache_read_input_tokens: int
    """Of the prompt, what an earlier request with the same beginning had left."""
    output_tokens: int
    cache_creation_input_tokens: int = 0
    """Always 0: keeping a beginning costs nothing more."""


class AnswerText(msgspec.Struct, tag_field="type", tag="text"):
    text: str


class AnswerThinking(msgspec.Struct, tag_field="type", tag="thinking"):
    thinking: str
    signature: str = ""
    """Empty: whoever sends the thinking back is believed."""


class AnswerToolUse(msgspec.Struct, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any]
    """Empty in the stead of a call that max_tokens cut."""


AnswerBlock = AnswerText | AnswerThinking | AnswerToolUse


class AnthropicAnswer(msgspec.Struct, tag_field="type", tag="message", kw_only=True):
    id: str
    role: Literal["assistant"] = "assistant"
    model: str
    """The Version that really answered, such as smollm2@1."""
    content: list[AnswerBlock]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: AnthropicUsage


class MessageEvent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One event of a stream: message_start, ping, then for each block content_block_start, content_block_delta and
    content_block_stop, then message_delta and message_stop. Or error, which ends the stream."""

    type: str
    message: AnthropicAnswer | None = None
    index: int | None = None
    content_block: AnswerBlock | None = None
    delta: dict[str, Any] | None = None
    """{"type": "text_delta", "text"}, {"type": "thinking_delta", "thinking"}, {"type": "input_json_delta",
    "partial_json"}; in message_delta the stop_reason and the stop_sequence."""
    usage: AnthropicUsage | None = None
    error: dict[str, Any] | None = None
    request_id: str | None = None


_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def error_body(error: LLMOSError, request_id: str) -> dict[str, Any]:
    """Return the error in Anthropic's shape."""
    kind = _TYPES.get(error.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": request_id}


class MessageWire(Wire):
    """Spells an answer as a message, or as the events that a message is put together from."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    async def whole(self, answer: Answer) -> bytes:
        (choice,) = await answer.whole()
        content: list[AnswerBlock] = []
        if choice.reasoning:
            content.append(AnswerThinking(choice.reasoning))
        if choice.text:
            content.append(AnswerText(choice.text))
        content += [AnswerToolUse(call.id, call.name, _input(call)) for call in choice.tool_calls]
        reason, sequence = _stop(answer, choice.finish_reason, choice.stop_reason)
        return sse.encode(_message(answer, content, reason, sequence))

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        blocks = _Blocks()
        has_begun = False
        async for delta in answer.deltas:
            chunk = b""
            if not has_begun:
                # With the first delta, which says how much of the prompt was cached.
                has_begun = True
                chunk = sse.event({"type": "message_start", "message": _message(answer, [])}, "message_start")
                chunk += sse.event({"type": "ping"}, "ping")
            chunk += blocks.push(delta)
            if delta.finish_reason is not None:
                reason, sequence = _stop(answer, delta.finish_reason, delta.stop_reason)
                ending = {"stop_reason": reason, "stop_sequence": sequence}
                event = {"type": "message_delta", "delta": ending, "usage": _usage(answer)}
                chunk += blocks.close() + sse.event(event, "message_delta")
            if chunk:
                yield chunk

    def end(self) -> bytes:
        return sse.event({"type": "message_stop"}, "message_stop")

    def failure(self, error: LLMOSError) -> bytes:
        return sse.event(error_body(error, self._request_id), "error")


class _Blocks:
    """The blocks of a stream, of which one at most is open."""

    def __init__(self) -> None:
        self._num_begun = 0
        self._open: str | int | None = None
        """thinking, text, or which call."""

    def push(self, delta: Delta) -> bytes:
        """Return the events that bring what the delta brings."""
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

    def close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return sse.event({"type": "content_block_stop", "index": self._num_begun - 1}, "content_block_stop")

    def _enter(self, what: str | int, block: AnswerBlock) -> bytes:
        """Open the block unless it is open."""
        if self._open == what:
            return b""
        chunk = self.close()
        event = {"type": "content_block_start", "index": self._num_begun, "content_block": block}
        self._open = what
        self._num_begun += 1
        return chunk + sse.event(event, "content_block_start")

    def _delta(self, delta: dict[str, str]) -> bytes:
        event = {"type": "content_block_delta", "index": self._num_begun - 1, "delta": delta}
        return sse.event(event, "content_block_delta")


def _message(
    answer: Answer, content: list[AnswerBlock], reason: StopReason | None = None, sequence: str | None = None
) -> AnthropicAnswer:
    return AnthropicAnswer(
        id=answer.id,
        model=answer.served.ref,
        content=content,
        stop_reason=reason,
        stop_sequence=sequence,
        usage=_usage(answer),
    )


def _usage(answer: Answer) -> AnthropicUsage:
    num_cached = answer.num_cached_tokens
    return AnthropicUsage(answer.num_prompt_tokens - num_cached, num_cached, answer.num_completion_tokens)


def _stop(answer: Answer, reason: FinishReason, stop: str | int | None) -> tuple[StopReason, str | None]:
    """Return why the answer ended, and the stop sequence that ended it, if one did."""
    if reason == "tool_calls":
        return "tool_use", None
    if reason == "content_filter":
        return "refusal", None
    if reason == "length":
        is_full = answer.num_completion_tokens == answer.call.sampling.params.max_tokens
        return "max_tokens" if is_full else "model_context_window_exceeded", None
    return ("stop_sequence", stop) if isinstance(stop, str) else ("end_turn", None)


def _input(call: ToolCall) -> dict[str, Any]:
    try:
        return msgspec.json.decode(call.arguments, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}  # Cut in the middle; the stop_reason says so.
