"""The kinds of jobs. A module in here that defines a `JobKind` adds a kind; no other file lists them."""

import pkgutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Generic, TypeVar

import msgspec

from llmos.core.config import Settings
from llmos.core.errors import BadRequest
from llmos.core.progress import Progress
from llmos.core.suggest import nearest
from llmos.data.evals import EvalRuns
from llmos.gateway.calls.text_vectors import TextsToEmbed, Vectors
from llmos.gateway.http.requests import RequestObject
from llmos.models.registry import Registry
from llmos.security.permissions import Permission

R = TypeVar("R", bound=RequestObject)


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A request of a job to a model."""

    path: str
    """Such as /v1/chat/completions."""
    body: bytes
    key: str = ""
    """The same for a question that is asked again after a crash: its answer is counted once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """Passed to a job's work."""

    settings: Settings
    registry: Registry
    project: str
    """The project of the job."""
    actor: str | None
    progress: Progress
    embed: "Callable[[TextsToEmbed], Future[Vectors]] | None" = None
    """Begin to make vectors in the serving process; several calls at once. None for jobs that aren't heavy."""
    evals: EvalRuns | None = None
    """None for heavy jobs."""
    ask: "Callable[[Question], Future[dict[str, Any]]] | None" = None
    """Begin to ask a model; many calls at once. None for heavy jobs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobKind(Generic[R]):
    name: str
    request: type[R]
    check: Callable[[Settings, Registry, R], R]
    """Returns the request as it is stored. Raises LLMOSError for a job that can't succeed."""
    work: Callable[[Context, R], Mapping[str, Any]]
    """Does the job and returns its result as a JSON object. Raises LLMOSError."""
    command: Callable[[R], str]
    """Returns the command that starts the same job."""
    permission: Permission
    """The permission that a caller needs besides `jobs:write`, for what the job does to models."""
    is_heavy: bool = True
    """It computes: it runs in a process of its own, one heavy job at a time. Others run in threads, several at once."""
    resumes: bool = False
    """A job that ran when the server stopped continues when a server starts again."""


@cache
def job_kinds() -> Mapping[str, JobKind[Any]]:
    """Return every kind, by name."""
    modules = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    kinds = [each for module in modules for each in vars(module).values() if isinstance(each, JobKind)]
    return {kind.name: kind for kind in kinds}


def kind_named(name: object) -> JobKind[Any]:
    """Raises BadRequest, with the nearest name, for a kind that doesn't exist."""
    kinds = job_kinds()
    if isinstance(name, str) and name in kinds:
        return kinds[name]
    meant = nearest(name, kinds, limit=1) if isinstance(name, str) else []
    advice = f"Did you mean {meant[0]!r}?" if meant else f"It is one of {', '.join(sorted(kinds))}."
    raise BadRequest(f"`kind` is {name!r:.80}. {advice}", param="kind")


def to_stored(request: RequestObject) -> dict[str, Any]:
    """Return the request as it is stored in the database."""
    stored: dict[str, Any] = msgspec.to_builtins(request)
    return stored
