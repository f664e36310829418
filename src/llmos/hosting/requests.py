"""The requests that a hosted application takes."""

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from llmos.core.errors import BadRequest
from llmos.core.schemas.runs import CallMock, StepDescription

T = TypeVar("T", bound=Struct)

MAX_BODY_BYTES = 8 << 20


class RunRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """One input, and how it is answered. The options are those of `App.run`."""

    input: Any = None
    session: str | None = None
    user: str = ""
    variables: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    """As `variables`, but what the application doesn't declare is left out."""
    before: list[dict[str, Any]] = field(default_factory=list)
    """The messages of the conversation before the input, instead of a session."""
    dry_run: bool = False
    keep: bool = True
    recorded: list[StepDescription] | None = None
    """The steps of another run, in place of calling tools and doing steps."""
    mocks: list[CallMock] | None = None
    """The results of tools and steps, which aren't called."""
    effects: bool = True
    """False: a tool or step that has effects, and no mock, fails the run."""
    wait_seconds: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    stream: bool = False


class ResumeRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    value: Any = msgspec.UNSET
    """The value that the run waits for."""


def parse_run(body: bytes) -> RunRequest:
    """Raises BadRequest."""
    request = _parse(body, RunRequest)
    if request.input is None:
        raise BadRequest("`input` is missing: send the question.", param="input")
    if request.session is not None and request.before:
        raise BadRequest("`before` and `session` both give the conversation so far: send one of them.", param="before")
    return request


def parse_resume(body: bytes) -> ResumeRequest:
    """Raises BadRequest."""
    return _parse(body or b"{}", ResumeRequest)


def _parse(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The request is wrong: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is no JSON object.") from None
