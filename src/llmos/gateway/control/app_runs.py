"""/llmos/v1/apps/NAME/runs: run a deployed application, and continue its runs.

A run passes the pipeline as a call to a model does: limits, guardrails, record and receipt.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request
from msgspec import Meta, field

from llmos.core.errors import BadRequest, LLMOSError, NotFound
from llmos.core.names import APP_PREFIX
from llmos.core.schemas.hosted_apps import RunEvent, RunResult
from llmos.core.schemas.runs import CallMock, RunDescription, RunFailure, StepDescription
from llmos.engine.messages import SamplingParams
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.applications import AppOptions
from llmos.gateway.calls.call import Call, Prompt, Sampling
from llmos.gateway.hosted_apps.backend import text_of
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.fields import CallerFields
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.http.sse import AnswerRenderer, AnswerResponse
from llmos.gateway.services import services_of
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/apps", tags=["apps"])


class AppRunRequest(CallerFields, kw_only=True):
    input: Any = None
    """The question: a text, a message of the role user, or any JSON that the application takes."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    """The conversation before it, instead of a session."""
    session: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    """The conversation that it belongs to, by a name of your own."""
    variables: dict[str, Any] = field(default_factory=dict)
    """Values for variables of the application's prompt."""
    stream: bool = False
    dry_run: bool = False
    """Call no tools and cause no side effects."""
    replay: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    """A run of the application that is kept: what its tools and steps returned stands in for them, and nothing is
    called. This run isn't kept. Needs the permission apps:read, too."""
    mocks: list[CallMock] | None = None
    """The results of tools and steps, which aren't called, as in an eval."""
    effects: bool = True
    """False: a tool or step that has effects, and no mock, is 424 `not_recorded`."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """As `variables`, but what the application doesn't declare is left out."""
    wait_seconds: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    """Wait this long for another run in the session to end. 0: that is 409 at once."""


class AppResume(RequestObject, kw_only=True):
    value: Any = msgspec.UNSET
    """The value that the run waits for, such as true for an approval. Without it, a run that has received its value
    continues."""


@router.post(
    "/{name}/runs",
    summary="Run an application",
    openapi_extra=openapi.body(AppRunRequest, {"input": "Where is AB123456?", "session": "u42"}),
    responses=openapi.answers(RunResult, RunEvent),
)
@requires(Permission.APPS_RUN)
async def run_app(request: Request, name: str) -> AnswerResponse:
    """Hanging up cancels the run."""
    body = await parse_body(request, AppRunRequest)
    if body.input is None:
        raise BadRequest("`input` is missing: send the question.", param="input")
    if body.session is not None and body.messages:
        raise BadRequest(
            "`messages` and `session` both give the conversation so far: send one of them.", param="messages"
        )
    events: deque[RunEvent] = deque()
    is_message = isinstance(body.input, dict) and body.input.get("role") == "user"
    question = body.input if is_message else {"role": "user", "content": text_of(body.input)}
    options = AppOptions(
        input=None if is_message else body.input,
        variables=body.variables,
        session=body.session,
        dry_run=body.dry_run,
        recorded=None if body.replay is None else await _recorded(request, name, body.replay),
        mocks=body.mocks,
        effects=body.effects,
        metadata=body.metadata,
        wait_seconds=body.wait_seconds,
        on_event=events.append,
    )
    call = _call(name, [*body.messages, question], options, body.on_behalf_of(caller_of(request)))
    return AnswerResponse(services_of(request).pipeline, call, RunRenderer(events), stream=body.stream)


async def _recorded(request: Request, name: str, run: str) -> Sequence[StepDescription]:
    """Return the steps of a kept run of an application. Raises NotFound."""
    caller = caller_of(request)
    if not caller.is_background:  # Who started the job was checked then.
        caller.check(Permission.APPS_READ)
    found = await asyncio.to_thread(services_of(request).data.app_runs.get, caller.project, run)
    if found.app != name.partition("@")[0]:
        raise NotFound(f"{run[:64]} is a run of the app {found.app}.", param="replay")
    return [step for step in found.steps if step.kind in ("tool", "step")]


@router.post(
    "/{name}/runs/{run}/resume",
    summary="Continue a run",
    openapi_extra=openapi.body(AppResume, {"value": True}),
    responses=openapi.answers(RunResult),
)
@requires(Permission.APPS_RUN)
async def resume_app_run(request: Request, name: str, run: str) -> AnswerResponse:
    """One whose process died, or that has got what it waits for. `value` needs the permission apps:write, as a signal
    does."""
    body, caller, runs = await parse_body(request, AppResume), caller_of(request), services_of(request).data.app_runs
    found: RunDescription = await asyncio.to_thread(runs.get, caller.project, run)
    if found.app != name:
        raise NotFound(f"{run[:64]} is a run of the app {found.app}.", param="run")
    if body.value is not msgspec.UNSET:
        caller.check(Permission.APPS_WRITE)
        if found.waits_for is None:
            raise BadRequest(f"The run {run[:64]} isn't waiting for a value. Leave `value` out.", param="value")
        signal = partial(runs.signal, caller.project, run, found.waits_for, body.value, actor=caller.actor)
        await asyncio.to_thread(signal)
    question = found.input if isinstance(found.input, dict) and "role" in found.input else None
    messages = [question or {"role": "user", "content": text_of(found.input)}]
    call = _call(name, messages, AppOptions(resumes=run), caller)
    return AnswerResponse(services_of(request).pipeline, call, RunRenderer(deque()), stream=False)


class RunRenderer(AnswerRenderer):
    """Renders an answer as a RunResult, or as events of a run."""

    def __init__(self, events: deque[RunEvent]) -> None:
        """`events`: gets what is no text, before the delta behind it."""
        self._events = events

    async def complete(self, answer: Answer) -> bytes:
        (choice,) = await answer.read_choices()
        return sse.encode(_result(answer, choice.text))

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        text = ""
        async for delta in answer.deltas:
            chunk = b"".join(sse.event(each) for each in self._waiting())
            if delta.text:
                text += delta.text
                chunk += sse.event(RunEvent(type="text", text=delta.text))
            if delta.finish_reason is not None:
                result = _result(answer, text)
                cited = [RunEvent(type="citation", citation=each) for each in result.citations]
                chunk += b"".join(sse.event(each) for each in [*cited, RunEvent(type="done", run=result)])
            if chunk:
                yield chunk

    def end(self) -> bytes:
        return b""

    def failure(self, error: LLMOSError) -> bytes:
        return sse.event(RunEvent(type="error", error=RunFailure(code=error.code, message=error.message)))

    def _waiting(self) -> Sequence[RunEvent]:
        """Return the events that came. Citations come at the end: a guardrail may change what they belong to."""
        events = [each for each in self._events if each.type != "citation"]
        self._events.clear()
        return events


def _result(answer: Answer, text: str) -> RunResult:
    """Return the run with the text that the caller may see."""
    result = None if answer.application is None else answer.application.result
    assert result is not None, "an application's answer ends with its run"
    if text == result.text or result.state != "succeeded":
        return result
    # A guardrail has changed the text. Nothing else may have what it took out.
    return msgspec.structs.replace(
        result,
        text=text,
        output=text if isinstance(result.output, str) else None,
        sentences=[each for each in result.sentences if each.text in text],
        steps=[],
    )


def _call(name: str, messages: list[dict[str, Any]], options: AppOptions, caller: Caller) -> Call:
    return Call(
        model=f"{APP_PREFIX}{name}",
        prompts=[Prompt(messages=messages)],
        sampling=Sampling(SamplingParams(), frozenset()),
        caller=caller,
        app=options,
        id_prefix="apprun",
    )
