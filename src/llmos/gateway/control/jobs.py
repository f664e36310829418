"""/llmos/v1/jobs: long work on the server: start it, follow it, cancel it, find it again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta
from starlette.types import Receive, Scope, Send

from llmos.core.connected import while_connected
from llmos.core.errors import LLMOSError
from llmos.core.jobs.descriptions import describe_job
from llmos.core.jobs.jobs import Job, Jobs
from llmos.core.schemas.jobs import JobDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, convert, decode_object, parse_query, read_body
from llmos.gateway.http.sse import event
from llmos.gateway.jobs.following import follow
from llmos.gateway.jobs.kinds import job_kinds, kind_named, to_stored
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/jobs", tags=["jobs"])

_EVENTS = openapi.answers(JobDescription, JobDescription, also={204: None})
_ENDED = "ended"
"""The id of a stream's last event. A browser that reconnects sends it."""


class JobDescriptions(msgspec.Struct):
    data: list[JobDescription]


class JobsQuery(RequestObject, kw_only=True):
    kind: str | None = None
    state: Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted"] | None = None
    after: str | None = None
    """The id of a job: only older ones."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


@router.post(
    "",
    summary="Start a job",
    openapi_extra=openapi.body_of_kinds(
        [kind.request for kind in job_kinds().values()], {"kind": "pull", "model": "smollm2"}
    ),
    responses=openapi.answers(JobDescription),
)
@requires(Permission.JOBS_WRITE, "job.create")
async def create_job(request: Request) -> Response:
    """`kind` says what it does; the other fields are those of its kind. Returns the job with the same request that
    hasn't ended, if there is one. A request that can't succeed, such as one for an unknown model, fails at once."""
    fields = decode_object(await read_body(request))
    kind = kind_named(fields.get("kind"))
    services, caller = services_of(request), caller_of(request)
    caller.check(kind.permission)
    body = convert(fields, kind.request)

    def create() -> Job:
        checked = kind.check(services.settings, services.registry, body)
        return services.jobs.create(kind.name, to_stored(checked), project=caller.project, actor=caller.actor)

    return json_response(describe_job(await asyncio.to_thread(create)))


@router.get(
    "", summary="List the jobs", openapi_extra=openapi.query(JobsQuery), responses=openapi.answers(JobDescriptions)
)
@requires(Permission.JOBS_READ)
async def list_jobs(request: Request) -> Response:
    """The jobs of the key's project; for keys of the project `owner`, of all. Newest first; `?kind=` and `?state=`
    filter. `?after=ID` continues a list. Ended jobs are kept for 30 days."""
    query = parse_query(request, JobsQuery)
    found = await asyncio.to_thread(
        partial(
            services_of(request).jobs.list,
            project=caller_of(request).only_project,
            kind=query.kind,
            state=query.state,
            after=query.after,
            limit=query.limit,
        )
    )
    return json_response(JobDescriptions([describe_job(job) for job in found]))


@router.get("/{id}", summary="Describe a job", responses=openapi.answers(JobDescription))
@requires(Permission.JOBS_READ)
async def get_job(request: Request, id: str) -> Response:
    return json_response(describe_job(await _get(request, id)))


@router.post("/{id}/cancel", summary="Cancel a job", responses=openapi.answers(JobDescription))
@requires(Permission.JOBS_WRITE, "job.cancel")
async def cancel_job(request: Request, id: str) -> Response:
    """The bytes that a pull has received are kept for the next attempt. 409 for a job that has ended otherwise."""
    cancel = partial(services_of(request).jobs.cancel, id, project=caller_of(request).only_project)
    return json_response(describe_job(await asyncio.to_thread(cancel)))


@router.get("/{id}/events", summary="Follow a job", responses=_EVENTS)
@requires(Permission.JOBS_READ)
async def follow_job(request: Request, id: str) -> Response:
    """Server-sent events named `job`: the whole description, now and after every change, until the job has ended. A
    stream that ends earlier, because the server stops, is continued by asking again."""
    jobs = services_of(request).jobs
    job = await _get(request, id)
    if job.has_ended and request.headers.get("last-event-id") == _ENDED:
        return Response(status_code=204)  # A browser stops reconnecting.
    return JobEvents(jobs, id)


async def _get(request: Request, id: str) -> Job:
    return await asyncio.to_thread(partial(services_of(request).jobs.get, id, project=caller_of(request).only_project))


class JobEvents(Response):
    """Sends a job's states for as long as the caller listens."""

    def __init__(self, jobs: Jobs, id: str) -> None:
        super().__init__()
        self._jobs, self._id = jobs, id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        headers.append((b"x-accel-buffering", b"no"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with aclosing(self._events()) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _events(self) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(follow(self._jobs, self._id)) as states:
                async for job in states:
                    id = b"id: " + _ENDED.encode() + b"\n" if job.has_ended else b""
                    yield id + event(describe_job(job), "job")
        except LLMOSError:
            return  # The server stops. The job is found again when it is back.
