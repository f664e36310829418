"""Errors of providers, as LLMOS errors. Each names the provider, so that callers don't take its key for their own."""

from collections.abc import Mapping

import msgspec

from llmos.core.errors import (
    BadRequest,
    LLMOSError,
    PromptTooLong,
    ProviderFailed,
    RateLimited,
    TooLarge,
    Unavailable,
)
from llmos.deployments.providers.provider_model import Provider

MAX_MESSAGE = 500


def error_of(provider: Provider, status: int, body: bytes, retry_after_seconds: float | None = None) -> LLMOSError:
    """Return the error for an HTTP response of a provider that is not 200."""
    name, message = provider.name, _message_of(body)
    if status in (401, 403):
        # The provider's message is left out, because it may quote the key.
        return ProviderFailed(
            f"The provider {name} doesn't accept the key that LLMOS has for it ({status}). Give it the right one:"
            f" llmos provider add {name} --kind {provider.kind} --base-url {provider.base_url}"
        )
    if 300 <= status < 400:
        return ProviderFailed(
            f"The provider {name} answers with a redirect ({status}), which LLMOS does not follow."
            " Set the right --base-url."
        )
    if status == 404:
        return ProviderFailed(f"The provider {name} doesn't know the model, or the base URL is wrong (404){message}")
    if status == 429:
        return RateLimited(
            f"The provider {name} limits its requests{message}", retry_after_seconds=retry_after_seconds or 1
        )
    if status == 413:
        return TooLarge(f"The request is too large for the provider {name}{message}")
    if status in (400, 422):
        kind = PromptTooLong if b"context_length_exceeded" in body else BadRequest
        return kind(f"The provider {name} refuses the request{message}")
    if status in (503, 529):
        return Unavailable(f"The provider {name} is overloaded{message}", retry_after_seconds=retry_after_seconds or 5)
    if status in (408, 504):
        return Unavailable(f"The provider {name} took too long{message}", retry_after_seconds=retry_after_seconds or 5)
    return ProviderFailed(f"The provider {name} failed with status {status}{message}")


def error_in_stream(provider: Provider, error: object) -> LLMOSError:
    """Return the error for an error event in the middle of a stream."""
    kind = str(error.get("type") or error.get("code")) if isinstance(error, Mapping) else ""
    status = {"overloaded_error": 529, "rate_limit_error": 429, "invalid_request_error": 400}.get(kind, 500)
    return error_of(provider, status, msgspec.json.encode({"error": error}))


def unreachable(provider: Provider, reason: str) -> Unavailable:
    return Unavailable(
        f"The provider {provider.name} can't be reached at {provider.base_url}: {reason}."
        f" To see more: llmos provider test {provider.name}",
        retry_after_seconds=5,
    )


def too_slow(provider: Provider, seconds: float) -> Unavailable:
    return Unavailable(
        f"The provider {provider.name} sent nothing for {seconds:g} seconds. Try again.", retry_after_seconds=5
    )


def _message_of(body: bytes) -> str:
    """Return the provider's message after a colon, or a full stop if there is none."""
    try:
        decoded = msgspec.json.decode(body.removeprefix(b"data: "))  # Triton sends errors of streams as events.
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return "."
    error = decoded.get("error") if isinstance(decoded, Mapping) else None
    message = error.get("message") if isinstance(error, Mapping) else error
    if not isinstance(message, str) or not message.strip():
        return "."
    plain = " ".join(message.split())
    return f": {plain[:MAX_MESSAGE]}{'…' if len(plain) > MAX_MESSAGE else ''}"
