"""Answer: all that checks look at, whichever model or application gave it."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct


class ToolCall(Struct, frozen=True, kw_only=True):
    name: str
    arguments: Any = None


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    text: str = ""
    version: str = ""
    """The version that answered, such as smollm2@1."""
    tool_calls: Sequence[ToolCall] = ()
    documents: Sequence[str] = ()
    """The documents that it cites."""
    abstained: bool = False
    num_input_tokens: int = 0
    num_output_tokens: int = 0
    seconds: float = 0.0
    """From the request to the last token. Other cases may have been answered beside it."""
    cost: str = ""
    """A decimal; empty where no price applies."""
    currency: str = ""
    finish_reason: str = ""
