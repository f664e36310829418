"""The body of an error in the Open Inference Protocol."""

import msgspec

from llmos.core.errors import LLMOSError


class InferenceError(msgspec.Struct):
    error: str
    """The cause, and what to do about it."""


def error_body(error: LLMOSError) -> InferenceError:
    """Return the error in the protocol's format."""
    return InferenceError(error.message)
