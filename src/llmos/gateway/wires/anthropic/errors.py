"""The body of an error in Anthropic's format."""

from typing import Literal

import msgspec

from llmos.core.errors import LLMOSError

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    415: "invalid_request_error",
    431: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class AnthropicErrorDetail(msgspec.Struct):
    type: str
    message: str
    """The cause, and what to do about it."""


class AnthropicError(msgspec.Struct):
    type: Literal["error"]
    error: AnthropicErrorDetail
    request_id: str


def error_body(error: LLMOSError, request_id: str) -> AnthropicError:
    """Return the error in Anthropic's format."""
    kind = _ERROR_TYPES.get(error.status, "api_error")
    return AnthropicError("error", AnthropicErrorDetail(kind, error.message), request_id)
