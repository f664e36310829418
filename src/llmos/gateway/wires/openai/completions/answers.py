"""The answer of POST /v1/completions."""

from typing import Literal

import msgspec

from llmos.engine.messages import FinishReason
from llmos.gateway.http.answers import Usage


class CompletionLogprobs(msgspec.Struct):
    """Four lists of the same length, one entry a token."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]
    """Where the token begins in the choice's text."""


class CompletionChoice(msgspec.Struct):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None
    """null only in the middle of a stream."""


class Completion(msgspec.Struct, kw_only=True):
    """The answer, and each event of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    """The Version that really answered, such as smollm2@1."""
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET
