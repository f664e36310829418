"""The response of POST /api/pull: the progress of a pull, streamed or at its end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import Response
from starlette.types import Receive, Scope, Send

from llmos.core.connected import while_connected
from llmos.core.errors import Conflict, LLMOSError
from llmos.core.jobs.jobs import Job, Step
from llmos.gateway.http import errors
from llmos.gateway.jobs.kinds import to_stored
from llmos.gateway.jobs.kinds.pull import PULL, PullJob
from llmos.gateway.services import Services
from llmos.gateway.wires.ollama.pull.answers import PullProgress, render_progress
from llmos.gateway.wires.ollama.stream import MEDIA_TYPE, encode_line


class PullResponse(Response):
    """Follows a pull. When a caller hangs up, the pull continues for the others who follow it."""

    def __init__(self, services: Services, name: str, actor: str, *, stream: bool) -> None:
        super().__init__()
        self._services, self._name, self._actor, self._stream = services, name, actor, stream
        self._has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self._send(scope, send))

    async def _send(self, scope: Scope, send: Send) -> None:
        try:
            async with aclosing(self._lines()) as lines:
                async for progress in lines:
                    # The response starts with the first line, so that an error before it keeps its own status.
                    if self._stream:
                        await self._send_line(send, progress)
            await self._send_line(send, PullProgress(status="success"), is_last=True)
        except LLMOSError as error:
            if not self._has_begun:
                raise
            await self._send_line(send, {"error": error.message}, is_last=True)
        except Exception:
            if self._has_begun:
                await self._send_line(send, {"error": errors.internal_error(scope).message}, is_last=True)
            raise

    async def _send_line(self, send: Send, line: Any, *, is_last: bool = False) -> None:
        if not self._has_begun:
            media_type = MEDIA_TYPE if self._stream else "application/json"
            headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            self._has_begun = True
        await send({"type": "http.response.body", "body": encode_line(line), "more_body": not is_last})

    async def _lines(self) -> AsyncGenerator[PullProgress, None]:
        entry = await asyncio.to_thread(self._services.registry.catalog.find, self._name)
        files = [file for source in entry.sources for file in source.files]
        sent: dict[str, Step] = {}
        async with aclosing(self._jobs()) as jobs:
            async for job in jobs:
                for step in job.progress:
                    if not sent:
                        yield PullProgress(status="pulling manifest")
                    if sent.get(step.label) != step:
                        sent[step.label] = step
                        yield render_progress(step, files)
                _raise_failure(job)

    def _jobs(self) -> AsyncGenerator[Job, None]:
        request = to_stored(PullJob(model=self._name))
        return self._services.attached_jobs.follow(PULL.name, request, self._actor)


def _raise_failure(job: Job) -> None:
    """Raise the reason why a job ended without a result."""
    if job.error is not None:
        raise job.error.as_exception()
    if job.state == "cancelled":
        raise Conflict("The pull was cancelled. Pull again to continue where it stopped.")
