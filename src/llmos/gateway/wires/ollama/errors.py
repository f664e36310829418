"""The body of an error in Ollama's format."""

import msgspec

from llmos.core.errors import LLMOSError

_FIELD_NAMES = {"max_tokens": "num_predict", "repetition_penalty": "repeat_penalty"}
"""Ollama's names of fields that the engine names in its errors."""


class OllamaError(msgspec.Struct):
    error: str
    """The cause, and what to do about it."""


def error_body(error: LLMOSError) -> OllamaError:
    """Return the error in Ollama's format, with Ollama's names of fields."""
    message = error.message
    for ours, theirs in _FIELD_NAMES.items():
        message = message.replace(ours, theirs)
    return OllamaError(message)
