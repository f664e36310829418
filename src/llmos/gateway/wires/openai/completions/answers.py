"""The answer of POST /v1/completions."""

from typing import Literal

import msgspec

from llmos.engine.messages import FinishReason
from llmos.gateway.calls.tool_calls import CallWarning
from llmos.gateway.http.answers import Usage
from llmos.gateway.wires.openai.answers import PromptLogprobs


class CompletionLogprobs(msgspec.Struct):
    """Four lists with one entry per token."""

    tokens: list[str]
    """The text of each token; a part of a character is written as bytes:\\xf0\\x9f."""
    token_logprobs: list[float | None]
    """null for the first token of a prompt."""
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]
    """The position of each token in the text of the choice, in characters. Tokens of one character share it."""


class CompletionChoice(msgspec.Struct):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None
    """null until the last event of a stream."""
    prompt_logprobs: PromptLogprobs | msgspec.UnsetType = msgspec.UNSET
    """With `prompt_logprobs` in the request."""


class Completion(msgspec.Struct, kw_only=True):
    """The answer, and the form of each event of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    """The version that answered, such as smollm2@1."""
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET
    warnings: list[CallWarning] | msgspec.UnsetType = msgspec.UNSET
    """A budget that ended the answer; in a stream, in the event that ends the choice."""
