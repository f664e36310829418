"""The body of an error in Ollama's format."""

import msgspec

from llmos.core.errors import LLMOSError


class OllamaError(msgspec.Struct):
    error: str
    """The cause, and what to do about it."""


def error_body(error: LLMOSError) -> OllamaError:
    """Return the error in Ollama's format."""
    return OllamaError(error.message)
