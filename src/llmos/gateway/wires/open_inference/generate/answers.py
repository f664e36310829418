"""The answer of POST /v2/models/{model}/generate, and the events of its stream."""

import msgspec

from llmos.engine.messages import FinishReason
from llmos.gateway.calls.tool_calls import CallWarning


class TextAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer, or one event of a stream. Only the last event has the fields after the text."""

    id: str = ""
    model_name: str
    model_version: str
    text_output: str
    finish_reason: FinishReason | None = None
    num_input_tokens: int | None = None
    num_output_tokens: int | None = None
    warnings: list[CallWarning] = []
    """A budget that ended the answer."""
