"""The answers of /v1/messages: content blocks, usage, and the events of a stream."""

from typing import Any, Literal

import msgspec

from llmos.engine.messages import FinishReason
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.applications import cited_parts
from llmos.gateway.calls.tool_calls import CallWarning, ToolCall
from llmos.gateway.http.answers import cost_fields

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded", "refusal"]


class AnthropicUsage(msgspec.Struct):
    """The tokens of a call. The prompt has input_tokens + cache_read_input_tokens tokens."""

    input_tokens: int
    """The tokens of the prompt that were not cached."""
    cache_read_input_tokens: int
    """The tokens of the prompt that were cached, from an earlier request with the same beginning."""
    output_tokens: int
    cache_creation_input_tokens: int = 0
    """Always 0: caching a prompt costs nothing extra."""
    cost: str | msgspec.UnsetType = msgspec.UNSET
    """The cost of the answer, as a decimal text. Absent if no price applies."""
    currency: str | msgspec.UnsetType = msgspec.UNSET


class CharLocation(msgspec.Struct, tag_field="type", tag="char_location", kw_only=True):
    """A passage of a document that the text is based on. Answers of applications have such citations."""

    cited_text: str
    document_index: int
    """The index of the document among those that the answer cites, in the order of their first citation."""
    document_title: str
    start_char_index: int
    end_char_index: int
    file_id: str | None = None


class AnswerText(msgspec.Struct, tag_field="type", tag="text"):
    text: str
    citations: list[CharLocation] | msgspec.UnsetType = msgspec.UNSET


class AnswerThinking(msgspec.Struct, tag_field="type", tag="thinking"):
    thinking: str
    signature: str = ""
    """Always empty: thinking blocks are accepted without a signature."""


class AnswerToolUse(msgspec.Struct, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any]
    """Empty if max_tokens cut the call."""


AnswerBlock = AnswerText | AnswerThinking | AnswerToolUse


class AnthropicAnswer(msgspec.Struct, tag_field="type", tag="message", kw_only=True):
    id: str
    role: Literal["assistant"] = "assistant"
    model: str
    """The version that answered, such as smollm2@1."""
    content: list[AnswerBlock]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: AnthropicUsage
    warnings: list[CallWarning] | msgspec.UnsetType = msgspec.UNSET
    """The calls whose input doesn't follow its schema. Absent without any."""


class MessageEvent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One event of a stream.

    The order is message_start, ping, for each block content_block_start, content_block_delta and content_block_stop,
    and then message_delta and message_stop. An error event ends the stream.
    """

    type: str
    message: AnthropicAnswer | None = None
    index: int | None = None
    content_block: AnswerBlock | None = None
    delta: dict[str, Any] | None = None
    """{"type": "text_delta", "text"}, {"type": "thinking_delta", "thinking"}, {"type": "input_json_delta",
    "partial_json"}, {"type": "citations_delta", "citation"}; in message_delta, stop_reason and stop_sequence."""
    usage: AnthropicUsage | None = None
    warnings: list[CallWarning] = []
    """In message_delta: the calls whose input doesn't follow its schema."""
    error: dict[str, Any] | None = None
    request_id: str | None = None


def render_citations(answer: Answer, text: str) -> list[CharLocation]:
    """Return what the text of an application's answer rests on."""
    parts = cited_parts(answer.application, text)
    documents = [*dict.fromkeys(part.citation.document for part in parts)]
    return [
        CharLocation(
            cited_text=part.citation.quote,
            document_index=documents.index(part.citation.document),
            document_title=part.citation.document,
            start_char_index=part.citation.start,
            end_char_index=part.citation.end,
        )
        for part in parts
    ]


def render_message(
    answer: Answer, content: list[AnswerBlock], reason: StopReason | None = None, sequence: str | None = None
) -> AnthropicAnswer:
    """Return the message so far."""
    return AnthropicAnswer(
        id=answer.id,
        model=answer.served.ref,
        content=content,
        stop_reason=reason,
        stop_sequence=sequence,
        usage=usage(answer),
        warnings=answer.warnings or msgspec.UNSET,
    )


def usage(answer: Answer) -> AnthropicUsage:
    """Return the tokens that the answer has used so far."""
    num_cached = answer.num_cached_tokens
    cost, currency = cost_fields(answer.attempt.charge)
    return AnthropicUsage(
        answer.num_prompt_tokens - num_cached,
        num_cached,
        answer.num_completion_tokens,
        cost=cost,
        currency=currency,
    )


def stop_reason(answer: Answer, reason: FinishReason, stop: str | int | None) -> tuple[StopReason, str | None]:
    """Return why the answer ended, and the stop sequence that ended it, or None."""
    if reason == "tool_calls":
        return "tool_use", None
    if reason == "content_filter":
        return "refusal", None
    if reason == "length":
        is_full = answer.num_completion_tokens == answer.call.sampling.params.max_tokens
        return "max_tokens" if is_full else "model_context_window_exceeded", None
    return ("stop_sequence", stop) if isinstance(stop, str) else ("end_turn", None)


def call_input(call: ToolCall) -> dict[str, Any]:
    """Return the arguments of a call. Empty if the call was cut."""
    try:
        return msgspec.json.decode(call.arguments, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}  # max_tokens cut the call, as the stop_reason says.


class TokenCount(msgspec.Struct):
    input_tokens: int
    """The tokens of the complete prompt: template, system prompt, tools and messages."""
