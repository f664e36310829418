"""The body of an error in the Open Inference Protocol."""

from llmos.core.errors import LLMOSError


def error_body(error: LLMOSError) -> dict[str, str]:
    return {"error": error.message}
