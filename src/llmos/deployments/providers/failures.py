"""What went wrong at a provider, as errors of ours: each names the provider, none is taken for the caller's own key."""

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
    """Return the error that a provider's answer stands for."""
    name, said = provider.name, _said(body)
    if status in (401, 403):
        # What it says may quote the key.
        return ProviderFailed(
            f"The provider {name} doesn't accept the key that LLMOS has for it ({status}). Give it the right one:"
            f" llmos provider add {name} --kind {provider.kind} --base-url {provider.base_url}"
        )
    if 300 <= status < 400:
        return ProviderFailed(
            f"The provider {name} sends elsewhere ({status}), where LLMOS doesn't follow. Set the right --base-url."
        )
    if status == 404:
        return ProviderFailed(f"The provider {name} doesn't know the model, or the base URL is wrong (404){said}")
    if status == 429:
        return RateLimited(
            f"The provider {name} has enough requests for now{said}", retry_after_seconds=retry_after_seconds or 1
        )
    if status == 413:
        return TooLarge(f"The request is too large for the provider {name}{said}")
    if status in (400, 422):
        kind = PromptTooLong if b"context_length_exceeded" in body else BadRequest
        return kind(f"The provider {name} refuses the request{said}")
    if status in (503, 529):
        return Unavailable(f"The provider {name} is overloaded{said}", retry_after_seconds=retry_after_seconds or 5)
    if status in (408, 504):
        return Unavailable(f"The provider {name} took too long{said}", retry_after_seconds=retry_after_seconds or 5)
    return ProviderFailed(f"The provider {name} failed with status {status}{said}")


def error_in_stream(provider: Provider, error: object) -> LLMOSError:
    """Return what an error in the middle of a stream stands for."""
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
        f"The provider {provider.name} said nothing for {seconds:g} seconds. Try again.", retry_after_seconds=5
    )


def _said(body: bytes) -> str:
    """Return the provider's own words, behind a colon, or a full stop."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return "."
    error = decoded.get("error") if isinstance(decoded, Mapping) else None
    message = error.get("message") if isinstance(error, Mapping) else error
    if not isinstance(message, str) or not message.strip():
        return "."
    plain = " ".join(message.split())
    return f": {plain[:MAX_MESSAGE]}{'…' if len(plain) > MAX_MESSAGE else ''}"
