"""Turns a server's error response into the error that the server raised. Knows OpenAI's format, and no HTTP client."""

from llmos.core.errors import LLMOSError, find_error_class


def parse_error(status: int, body: object, *, retry_after_seconds: float | None = None) -> LLMOSError:
    """Return the error for a status and a decoded JSON body, which may be anything: a proxy may have sent it."""
    detail = body.get("error") if isinstance(body, dict) else None
    detail = detail if isinstance(detail, dict) else {}
    message = str(detail.get("message") or f"The server answered with status {status}.")
    kind = find_error_class(detail.get("code"), status)
    return kind(message, param=detail.get("param"), retry_after_seconds=retry_after_seconds)
