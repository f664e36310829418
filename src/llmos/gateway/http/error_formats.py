"""Error formats: the JSON body in which each API sends an error, so that its clients raise their own error classes.

A module in wires/ whose API has another format than OpenAI's defines `error_format = ErrorFormat(...)` next to its
router. Errors raised outside its endpoints (a wrong key, an unknown path, a server that shuts down) then have it too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.types import Scope

from llmos.core.errors import LLMOSError


class ErrorDetail(msgspec.Struct):
    message: str
    """The cause, and what to do about it."""
    type: str
    code: str
    param: str | None
    """The field of the request that is wrong, or null."""


class ErrorBody(msgspec.Struct):
    """An error of OpenAI's API and of the control plane."""

    error: ErrorDetail


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorFormat:
    """The format of errors in one API, and which requests get it."""

    paths: tuple[str, ...]
    """Prefixes of the API's paths."""
    header: str = ""
    """A header that all of the API's clients send. It selects the format on a path that two APIs share."""
    shared_paths: tuple[str, ...] = ()
    """Prefixes of paths that another API has too, for the API's document."""
    body: type
    """The type of the body."""
    render: Callable[[LLMOSError, str], Any]
    """Returns the body for an error and a request id."""
    id_header: str = "x-request-id"
    """The response header in which the API's clients look for the request id. `x-request-id` always carries it too."""

    def matches(self, scope: Scope) -> bool:
        """Return whether the request in `scope` gets its errors in this format."""
        if scope["path"].startswith(self.paths):
            return True
        return bool(self.header) and any(name == self.header.encode() for name, _ in scope["headers"])


def openai_error(error: LLMOSError) -> dict[str, Any]:
    """Return the error as OpenAI's API sends it: https://platform.openai.com/docs/guides/error-codes."""
    body: dict[str, Any] = msgspec.to_builtins(
        ErrorBody(ErrorDetail(error.message, error.type, error.code, error.param))
    )
    return body


OPENAI = ErrorFormat(paths=(), body=ErrorBody, render=lambda error, _: openai_error(error))
"""The format of every request that no other format matches; the control plane uses it too."""


def error_format_of(scope: Scope) -> ErrorFormat:
    """Return the format that the sender of this request understands."""
    formats: Sequence[ErrorFormat] = scope["app"].state.error_formats
    return next((each for each in formats if each.matches(scope)), OPENAI)


def render(error: LLMOSError, scope: Scope) -> Any:
    """Return the error's body in the format that the sender of this request understands."""
    return error_format_of(scope).render(error, scope.get("state", {}).get("request_id", ""))
