"""Follow a job: see it now and after every change, until it has ended."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

from llmos.core.changes import Changes
from llmos.core.errors import Unavailable
from llmos.core.jobs.jobs import Job, Jobs

POLL_SECONDS = 1
"""The delay until a change that another process made is noticed."""


async def follow(jobs: Jobs, id: str) -> AsyncGenerator[Job, None]:
    """Yield the job now and after every change, until it has ended. A slow reader gets only the newest.

    Raises NotFound; Unavailable when the server stops.
    """
    changes = Changes()
    unsubscribe = jobs.subscribe(id, changes.notify)
    try:
        seen: Job | None = None
        while True:
            job = await asyncio.to_thread(jobs.get, id)
            if job != seen:
                seen = job
                yield job
            if job.has_ended:
                return
            if jobs.is_closed:
                raise Unavailable("The server is shutting down. Follow the job again when it is back.")
            await changes.wait(POLL_SECONDS)
    finally:
        unsubscribe()


class AttachedJobs:
    """Jobs that run only while a caller follows them. Belongs to the event loop's thread."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._num_followers: Counter[str] = Counter()
        self._lock = asyncio.Lock()
        """Held while a follower joins or leaves, so that a job isn't cancelled when another has just joined it."""

    async def follow(self, kind: str, request: Mapping[str, Any], actor: str | None) -> AsyncGenerator[Job, None]:
        """Create a job, or join one that runs already, and follow it. When its last follower leaves, it is cancelled,
        unless it was also started detached."""
        async with self._lock:
            job = await asyncio.to_thread(partial(self._jobs.create, kind, request, actor=actor, is_attached=True))
            self._num_followers[job.id] += 1
        try:
            async with aclosing(follow(self._jobs, job.id)) as states:
                async for state in states:
                    yield state
        finally:
            async with self._lock:
                self._num_followers[job.id] -= 1
                if not self._num_followers[job.id]:
                    del self._num_followers[job.id]
                    await asyncio.to_thread(self._jobs.abandon, job.id)
