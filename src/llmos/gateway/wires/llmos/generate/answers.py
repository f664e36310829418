"""The answer of POST /llmos/v1/generate, and the events of its stream."""

from typing import Literal

import msgspec

from llmos.engine.messages import FinishReason
from llmos.gateway.calls.tool_calls import CallWarning
from llmos.gateway.http.answers import Usage


class GeneratedAnswer(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["answer"] = "answer"
    text: str
    model: str
    """The name in the request."""
    version: str
    """The version that answered, such as smollm2@1."""
    digest: str | None
    """null for a provider's model."""
    finish_reason: FinishReason
    usage: Usage
    warnings: list[CallWarning] | msgspec.UnsetType = msgspec.UNSET
    """A budget that ended the answer."""


class GeneratedPiece(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One event of a stream. Only the last event has the fields after the text."""

    id: str
    text: str
    model: str | None = None
    version: str | None = None
    digest: str | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    warnings: list[CallWarning] | msgspec.UnsetType = msgspec.UNSET
