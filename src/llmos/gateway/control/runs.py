"""/llmos/v1/runs: the journal of what applications do: begin, continue and decide runs."""

import asyncio
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta, field

from llmos.core.errors import BadRequest
from llmos.core.schemas.runs import RunCount, RunDescription, RunFailure, RunUsage, StepDescription
from llmos.data.apps.journal import Entry
from llmos.data.apps.runs import AppRuns, End, Lease, NewRun
from llmos.gateway.erasing import MAX_SUBJECT_LENGTH
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/runs", tags=["runs"])

RunState = Literal["running", "waiting", "ready", "succeeded", "failed", "cancelled", "interrupted"]

_RunId = Annotated[str, Meta(pattern=r"^run-[0-9a-f]{24}$")]
_LeaseText = Annotated[str, Meta(pattern=r"^[0-9a-f]{16,64}$")]
_LeaseSeconds = Annotated[float, Meta(ge=1, le=3600)]
_Key = Annotated[str, Meta(pattern=r"^[!-~]{1,128}$")]
_Signal = Annotated[str, Meta(pattern=r"^[!-~]{1,192}$")]
_Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]

_EXAMPLE_LEASE = {"lease": "4f1d2c3b4a596877", "lease_seconds": 30}


class RunDescriptions(msgspec.Struct):
    data: list[RunDescription]


class RunCounts(msgspec.Struct):
    data: list[RunCount]


class Written(msgspec.Struct):
    """The facts that a process must know after it wrote."""

    run: RunDescription
    """Without its steps."""
    steps: list[StepDescription]
    """The states of the entries' steps. A step that another process has finished is `done`, with its result."""


class LeaseFields(RequestObject, kw_only=True):
    lease: _LeaseText
    """Chosen by the process, at random."""
    lease_seconds: _LeaseSeconds = 30
    """The run is given up when the process writes nothing for this time."""

    def taken(self) -> Lease:
        return Lease(lease=self.lease, seconds=self.lease_seconds)


class RunBegin(LeaseFields, kw_only=True):
    id: _RunId
    """Chosen by the process, at random."""
    app: str
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    """The Version that the process runs."""
    session: str | None = None
    """The id of a session. `input` is then a message of the role user."""
    input: Any = None
    user: Annotated[str, Meta(max_length=MAX_SUBJECT_LENGTH)] = ""
    """The person whose data the run has. An erasure of this person removes the run."""


class StepEntry(RequestObject, kw_only=True):
    key: _Key
    """Names the step within the run."""
    kind: Literal["model", "tool", "step", "retrieval"]
    """The result of `model` is a message of the role assistant; that of `tool`, one of the role tool."""
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    state: Literal["begun", "done", "failed"]
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{0,64}$")] = ""
    """SHA-256 of the arguments."""
    is_effect: bool = False
    """It is never begun twice."""
    attempt: Annotated[str, Meta(pattern=r"^[0-9a-f]{0,64}$")] = ""
    """Chosen by the process, at random, for each time that it begins an effect."""
    reconciled: bool = False
    """The process knows what became of an effect in doubt."""
    arguments: Any = None
    result: Any = None
    seconds: Annotated[float, Meta(ge=0, le=1e9)] = 0.0

    def entry(self) -> Entry:
        _check_message(self.kind, self.state, self.result)
        return Entry(**msgspec.structs.asdict(self))


class Failure(RequestObject, kw_only=True):
    code: Annotated[str, Meta(max_length=64)]
    message: Annotated[str, Meta(max_length=4096)]


class Consumed(RequestObject, kw_only=True):
    num_calls: _Count = 0
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0
    cached_tokens: _Count = 0
    cost: _Count | None = None
    """In billionths of the currency."""
    currency: Annotated[str, Meta(max_length=3)] = ""


class RunEnd(RequestObject, kw_only=True):
    objects = {"error": Failure, "usage": Consumed}  # noqa: RUF012

    state: Literal["succeeded", "failed", "cancelled", "waiting"]
    output: Any = None
    error: Failure | None = None
    usage: Consumed = field(default_factory=Consumed)
    num_tokens: _Count = 0
    """The tokens of the last prompt and its answer, for the session."""
    waits_for: _Signal | None = None
    """The name of a signal, or `in_doubt:` and the key of a step."""
    waits_with: Any = None
    """The information for the person who decides about the signal."""

    def end(self) -> End:
        if (self.state == "waiting") != (self.waits_for is not None):
            raise BadRequest("`waits_for` belongs to the state waiting, and to no other.", param="end.waits_for")
        error = None if self.error is None else RunFailure(code=self.error.code, message=self.error.message)
        return End(
            state=self.state,
            output=self.output,
            error=error,
            usage=RunUsage(**msgspec.structs.asdict(self.usage)),
            num_tokens=self.num_tokens,
            waits_for=self.waits_for,
            waits_with=self.waits_with,
        )


class JournalWrite(LeaseFields, kw_only=True):
    lists = {"steps": StepEntry}  # noqa: RUF012
    objects = {"end": RunEnd}  # noqa: RUF012

    steps: Annotated[list[StepEntry], Meta(max_length=256)] = field(default_factory=list)
    end: RunEnd | None = None


class SignalBody(RequestObject, kw_only=True):
    value: Any = None


class Resolution(RequestObject, kw_only=True):
    step: _Key
    """The key of a step in doubt."""
    has_happened: bool
    result: Any = None
    """The result of the step, if it has happened."""


class RunsQuery(RequestObject, kw_only=True):
    app: str | None = None
    state: RunState | None = None
    session: str | None = None
    abandoned: bool = False
    """Only runs that no process has and that wait for nothing."""
    after: str | None = None
    """The id of a run: only older ones."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class RunQuery(RequestObject, kw_only=True):
    first_step: _Count = 0
    """The number of the first step of the answer."""
    max_steps: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    """So many steps at most; by default all."""
    step_state: Literal["begun", "done", "failed", "in_doubt", "cleared"] | None = None
    """Only steps in this state."""


def runs_of(request: Request) -> AppRuns:
    return services_of(request).data.app_runs


@router.post(
    "",
    summary="Begin a run",
    openapi_extra=openapi.body(
        RunBegin,
        {"id": "run-0123456789abcdef01234567", "app": "support", "input": "Where is AB123456?", **_EXAMPLE_LEASE},
    ),
    responses=openapi.answers(RunDescription),
)
@requires(Permission.APPS_RUN)
async def begin_run(request: Request) -> Response:
    """409 while another run is in the session. A run whose process died is ended, and its turn closed."""
    body, caller = await parse_body(request, RunBegin), caller_of(request)
    if body.session is not None:
        _check_question(body.input)
    new = NewRun(
        id=body.id,
        lease=body.lease,
        lease_seconds=body.lease_seconds,
        app=body.app,
        version=body.version,
        session_id=body.session,
        input=body.input,
        user=body.user,
    )
    return json_response(await asyncio.to_thread(runs_of(request).begin, caller.project, new))


@router.get(
    "", summary="List the runs", openapi_extra=openapi.query(RunsQuery), responses=openapi.answers(RunDescriptions)
)
@requires(Permission.APPS_READ)
async def list_runs(request: Request) -> Response:
    """Newest first, without their steps. `?after=ID` continues a list."""
    query = parse_query(request, RunsQuery)
    listed = partial(
        runs_of(request).list,
        caller_of(request).project,
        app=query.app,
        state=query.state,
        session_id=query.session,
        abandoned=query.abandoned,
        after=query.after,
        limit=query.limit,
    )
    return json_response(RunDescriptions(await asyncio.to_thread(listed)))


@router.get("/counts", summary="Count the runs", responses=openapi.answers(RunCounts))
@requires(Permission.APPS_READ)
async def count_runs(request: Request) -> Response:
    """Count the runs of each application in each state."""
    return json_response(RunCounts([*await asyncio.to_thread(runs_of(request).count, caller_of(request).project)]))


@router.get(
    "/{run}",
    summary="Describe a run",
    openapi_extra=openapi.query(RunQuery),
    responses=openapi.answers(RunDescription),
)
@requires(Permission.APPS_READ)
async def get_run(request: Request, run: str) -> Response:
    """With its steps, or a part of them: a run may have very many."""
    query = parse_query(request, RunQuery)
    get = partial(
        runs_of(request).get_part,
        caller_of(request).project,
        run,
        first_step=query.first_step,
        max_steps=query.max_steps,
        step_state=query.step_state,
    )
    return json_response(await asyncio.to_thread(get))


@router.delete("/{run}", summary="Remove a run", status_code=204, responses={204: {"description": "Removed"}})
@requires(Permission.APPS_WRITE, "run.remove")
async def remove_run(request: Request, run: str) -> Response:
    """409 for one that hasn't ended."""
    await asyncio.to_thread(runs_of(request).remove, caller_of(request).project, run)
    return Response(status_code=204)


@router.post(
    "/{run}/claim",
    summary="Continue a run in another process",
    openapi_extra=openapi.body(LeaseFields, _EXAMPLE_LEASE),
    responses=openapi.answers(RunDescription),
)
@requires(Permission.APPS_RUN)
async def claim_run(request: Request, run: str) -> Response:
    """The run with its steps and signals. Effects that were begun and haven't ended are in doubt. 409 while another
    process has it."""
    body = await parse_body(request, LeaseFields)
    claim = partial(runs_of(request).claim, caller_of(request).project, run, body.taken())
    return json_response(await asyncio.to_thread(claim))


@router.post(
    "/{run}/journal",
    summary="Write to the journal of a run",
    openapi_extra=openapi.body(
        JournalWrite,
        {
            "steps": [{"key": "a1", "kind": "step", "name": "pay", "state": "begun", "is_effect": True}],
            **_EXAMPLE_LEASE,
        },
    ),
    responses=openapi.answers(Written),
)
@requires(Permission.APPS_RUN)
async def write_journal(request: Request, run: str) -> Response:
    """Entries about steps, and the end of the run: all of it is written, or nothing. Renews the lease. A step that has
    ended stays as it is. 409 if another process has the run."""
    body = await parse_body(request, JournalWrite)
    entries, end = [each.entry() for each in body.steps], None if body.end is None else body.end.end()
    write = partial(runs_of(request).write, caller_of(request).project, run, body.taken(), entries, end)
    described, steps = await asyncio.to_thread(write)
    return json_response(Written(described, [*steps]))


@router.post(
    "/{run}/signals/{name}",
    summary="Give a run what it waits for",
    openapi_extra=openapi.body(SignalBody, {"value": True}),
    responses=openapi.answers(RunDescription),
)
@requires(Permission.APPS_WRITE, "run.signal")
async def signal_run(request: Request, run: str, name: str) -> Response:
    """Such as an approval. The first value stays: 409 for a second one."""
    body, caller = await parse_body(request, SignalBody), caller_of(request)
    if not (0 < len(name) <= 192 and name.isascii() and name.isprintable()):
        raise BadRequest("The name of a signal has 1 to 192 printable characters of ASCII.", param="name")
    signal = partial(runs_of(request).signal, caller.project, run, name, body.value, actor=caller.actor)
    return await _continued(request, await asyncio.to_thread(signal))


@router.post(
    "/{run}/resolve",
    summary="Say what became of an effect in doubt",
    openapi_extra=openapi.body(Resolution, {"step": "a1", "has_happened": True, "result": "paid"}),
    responses=openapi.answers(RunDescription),
)
@requires(Permission.APPS_WRITE, "run.resolve")
async def resolve_step(request: Request, run: str) -> Response:
    """An effect is in doubt if its process died after it was begun. If it has happened, the run goes on with `result`;
    otherwise the effect is begun again."""
    body = await parse_body(request, Resolution)
    resolve = partial(
        runs_of(request).resolve,
        caller_of(request).project,
        run,
        body.step,
        has_happened=body.has_happened,
        result=body.result,
    )
    return await _continued(request, await asyncio.to_thread(resolve))


@router.post("/{run}/cancel", summary="Cancel a run", responses=openapi.answers(RunDescription))
@requires(Permission.APPS_WRITE, "run.cancel")
async def cancel_run(request: Request, run: str) -> Response:
    """Its process notices when it writes the next time. 409 for a run that has ended."""
    return json_response(await asyncio.to_thread(runs_of(request).cancel, caller_of(request).project, run))


async def _continued(request: Request, run: RunDescription) -> Response:
    """Return the run as it stands; if it is ready, the process of a deployed application continues it."""
    if run.state == "ready":
        await services_of(request).supervisor.continue_runs(caller_of(request).project, run.app)
    return json_response(run)


def _check_question(input: Any) -> None:
    if not (isinstance(input, dict) and input.get("role") == "user"):
        raise BadRequest("`input` of a run in a session is a message of the role user.", param="input")


def _check_message(kind: str, state: str, result: Any) -> None:
    """Raise BadRequest for an answer or a result that couldn't be a message of a turn."""
    if state == "begun" or kind not in ("model", "tool"):
        return
    role = {"model": "assistant", "tool": "tool"}[kind]
    is_message = isinstance(result, dict) and result.get("role") == role
    calls = result.get("tool_calls") if is_message else None
    is_valid = is_message and (calls is None or (isinstance(calls, list) and all(isinstance(c, dict) for c in calls)))
    if not is_valid or (kind == "tool" and not isinstance(result.get("tool_call_id"), str)):
        raise BadRequest(f"The result of a step of the kind {kind} is a message of the role {role}.", param="steps")
