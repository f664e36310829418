"""The parts of a call to an application that a call to a model doesn't have, and the resolution of its name.

An application is asked for as `app:NAME`, or one version of it as `app:NAME@NUMBER`. Which one that is depends on the
caller's project, so such names are never cached with those of models.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from llmos.core.errors import BadRequest
from llmos.core.names import APP_PREFIX
from llmos.core.schemas.hosted_apps import RunEvent, RunResult
from llmos.core.schemas.knowledge import Citation
from llmos.core.schemas.runs import CallMock, StepDescription

if TYPE_CHECKING:
    from llmos.gateway.calls.call import ModelCall
    from llmos.gateway.calls.resolve import Resolution


@dataclass(frozen=True, kw_only=True, slots=True)
class AppOptions:
    """The options of one call to an application."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The metadata of the request. The application uses the entries that it has a variable for."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    input: Any = None
    """The input, if it isn't a text."""
    session: str | None = None
    dry_run: bool = False
    wait_seconds: float = 0.0
    recorded: Sequence[StepDescription] | None = None
    """The steps of another run: their results stand in for tools and steps, of which none is called."""
    mocks: Sequence[CallMock] | None = None
    """The results of tools and steps, which aren't called."""
    effects: bool = True
    """False: what has effects, and no mock, fails the run."""
    resumes: str | None = None
    """The id of a run that goes on, instead of a new one."""
    on_event: Callable[[RunEvent], None] | None = None
    """Called with what is no text: tools, steps and citations."""


@dataclass(slots=True)
class ApplicationRun:
    """The run that answers a call."""

    app: str
    """app:NAME"""
    result: RunResult | None = None
    """Set when it has ended."""


class Applications(Protocol):
    """Finds the applications of projects."""

    async def resolve(self, call: "ModelCall") -> "Resolution":
        """Raises ModelNotFound, PermissionDenied, and BadRequest for applications that ask each other for ever."""


def app_of(model: str) -> str | None:
    """Return the application that a name asks for; None for the name of a model or a route."""
    return model.removeprefix(APP_PREFIX) if model.startswith(APP_PREFIX) else None


def without_version(application: str | None) -> str | None:
    """Return app:support for app:support@3, which evals ask for."""
    return None if application is None else application.partition("@")[0]


def check_is_model(name: str) -> None:
    """Raise BadRequest for the name of an application where only a model will do."""
    if app_of(name) is not None:
        raise BadRequest(
            f"{name[:80]} is an application and no model: it is started by `llmos app deploy` and ended by"
            " `llmos app stop`.",
            param="model",
        )


@dataclass(frozen=True, slots=True)
class CitedPart:
    """A part of an answer's text, and a place that it rests on."""

    start: int
    end: int
    citation: Citation


def cited_parts(run: ApplicationRun | None, text: str) -> Sequence[CitedPart]:
    """Return the citations of an application's answer. A sentence that a guardrail has changed has none any more."""
    parts: list[CitedPart] = []
    position = 0
    for sentence in run.result.sentences if run is not None and run.result is not None else ():
        start = text.find(sentence.text, position)
        if start >= 0:
            position = start + len(sentence.text)
            parts += [CitedPart(start, position, citation) for citation in sentence.citations]
    return parts


def citation_path(citation: Citation) -> str:
    """Return where the passage of a citation is read on this server."""
    document = quote(citation.document, safe="/")
    place = f"start={citation.start}&end={citation.end}"
    return f"/llmos/v1/knowledge/{quote(citation.knowledge, safe='@')}/documents/{document}?{place}"
