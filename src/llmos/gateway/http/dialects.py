"""How each wire format spells an error, so that its own clients raise their own error classes.

The file in routes/ that speaks another format than OpenAI's says so: it has a `dialect = Dialect(…)` beside its router.
Errors from outside the routes (a wrong key, an unknown path, a server that is shutting down) then take its shape too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from llmos.core.errors import LLMOSError


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    paths: tuple[str, ...]
    """What the paths begin with."""
    header: str = ""
    """What its clients always send, whatever the path: for paths that two formats share."""
    spell: Callable[[LLMOSError, str], Any]
    """From an error and the request's number to the body."""
    id_header: str = "x-request-id"
    """In which its clients look for the request's number. It is always in x-request-id too."""

    def is_spoken(self, scope: Scope) -> bool:
        if scope["path"].startswith(self.paths):
            return True
        return bool(self.header) and any(name == self.header.encode() for name, _ in scope["headers"])


def openai_error(error: LLMOSError) -> dict[str, Any]:
    """Return the error as OpenAI's API sends it: https://platform.openai.com/docs/guides/error-codes."""
    return {"error": {"message": error.message, "type": error.type, "code": error.code, "param": error.param}}


OPENAI = Dialect(paths=(), spell=lambda error, _: openai_error(error))


def dialect_of(scope: Scope) -> Dialect:
    """Return the one that the sender of this request understands."""
    dialects: Sequence[Dialect] = scope["app"].state.dialects
    return next((dialect for dialect in dialects if dialect.is_spoken(scope)), OPENAI)


def spell(error: LLMOSError, scope: Scope) -> Any:
    """Return the error's body in the shape that the sender of this request parses."""
    return dialect_of(scope).spell(error, scope.get("state", {}).get("request_id", ""))
