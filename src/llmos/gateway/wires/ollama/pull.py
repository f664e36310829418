"""POST /api/pull, in Ollama's wire format: get a model of the catalog, and tell how far it is."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from llmos.core.errors import Conflict, LLMOSError
from llmos.core.jobs.jobs import Job, Step
from llmos.gateway.http import errors, openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, services_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import while_connected
from llmos.gateway.jobs.kinds import as_kept
from llmos.gateway.jobs.kinds.pull import PULL, PullJob
from llmos.gateway.services import Services
from llmos.gateway.wires.ollama.answers import MEDIA_TYPE, line
from llmos.gateway.wires.ollama.models import NamedRequest
from llmos.models.store import StoredFile
from llmos.security.permissions import Permission

router = APIRouter()


class PullRequest(NamedRequest, kw_only=True):
    stream: bool = True

    # Every byte is compared with its digest, whatever way it came.
    harmless = frozenset({"insecure"})


class PullProgress(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line of a stream; the last one's status is `success`."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0


@router.post(
    "/api/pull",
    tags=["ollama"],
    summary="Get a model of the catalog, for Ollama's clients",
    openapi_extra=openapi.body(PullRequest, {"model": "smollm2", "stream": False}),
    responses=openapi.answers(PullProgress, PullProgress, MEDIA_TYPE),
)
@requires(Permission.MODELS_WRITE)
async def ollama_pull(request: Request) -> Response:
    asked = await parse_body(request, PullRequest)
    actor = caller_of(request).actor
    return PullResponse(services_of(request), asked.plain(), actor, stream=asked.stream)


class PullResponse(Response):
    """Follows a pull. Who hangs up goes alone: it goes on for others who want the same model."""

    def __init__(self, services: Services, name: str, actor: str, *, stream: bool) -> None:
        super().__init__()
        self._services, self._name, self._actor, self._stream = services, name, actor, stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self._send(scope, send))

    async def _send(self, scope: Scope, send: Send) -> None:
        has_begun = False

        async def tell(progress: PullProgress | Mapping[str, str], *, is_last: bool = False) -> None:
            nonlocal has_begun
            if not has_begun:
                media_type = MEDIA_TYPE if self._stream else "application/json"
                headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-cache")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                has_begun = True
            await send({"type": "http.response.body", "body": line(progress), "more_body": not is_last})

        try:
            async with aclosing(self._lines()) as lines:
                async for progress in lines:
                    # Not before there is something to tell: until then an error keeps its own status.
                    if self._stream:
                        await tell(progress)
            await tell(PullProgress(status="success"), is_last=True)
        except LLMOSError as error:
            if not has_begun:
                raise
            await tell({"error": error.message}, is_last=True)
        except Exception:
            if has_begun:
                await tell({"error": errors.internal_error(scope).message}, is_last=True)
            raise

    async def _lines(self) -> AsyncGenerator[PullProgress, None]:
        entry = await asyncio.to_thread(self._services.registry.catalog_entry, self._name)
        files = [file for source in entry.sources for file in source.files]
        sent: dict[str, Step] = {}
        async with aclosing(self._jobs()) as jobs:
            async for job in jobs:
                for step in job.progress:
                    if not sent:
                        yield PullProgress(status="pulling manifest")
                    if sent.get(step.label) != step:
                        sent[step.label] = step
                        yield _progress(step, files)
                _raise_failure(job)

    def _jobs(self) -> AsyncGenerator[Job, None]:
        request = as_kept(PullJob(model=self._name))
        return self._services.attached_jobs.follow(PULL.name, request, self._actor)


def _raise_failure(job: Job) -> None:
    """Raise the reason why a job ended without a result."""
    if job.error is not None:
        raise job.error.as_exception()
    if job.state == "cancelled":
        raise Conflict("The pull was cancelled. What has arrived is kept: pull again to go on.")


def _progress(step: Step, files: Sequence[StoredFile]) -> PullProgress:
    """Ollama's clients draw a bar for each digest: an archive is told under that of the largest file in it."""
    if step.label.startswith("checking "):
        return PullProgress(status="verifying sha256 digest")
    if step.num_total is None or not files:
        return PullProgress(status=step.label)
    digests = {file.name: file.digest for file in files}
    digest = digests.get(step.label, max(files, key=lambda file: file.size).digest)
    short = digest.removeprefix("sha256:")[:12]
    return PullProgress(status=f"pulling {short}", digest=digest, total=step.num_total, completed=step.num_done)
