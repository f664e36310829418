"""The body of an error in the Open Inference Protocol."""

from llmos.core.errors import LLMOSError


def error_body(error: LLMOSError) -> dict[str, str]:
    """Return the error in the protocol's format."""
    return {"error": error.message}
