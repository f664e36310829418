"""Starts the job that reads the files of a vector store."""

import asyncio

from llmos.core.errors import NotFound
from llmos.core.ids import new_id
from llmos.core.jobs.jobs import Job
from llmos.gateway.jobs.kinds import to_stored
from llmos.gateway.jobs.kinds.vector_store_sync import NAME, VectorStoreSyncJob
from llmos.gateway.services import Services
from llmos.security.callers import Caller


async def sync_later(services: Services, caller: Caller, store: str) -> None:
    """Have a job read what was changed. Call it when the change is committed."""
    await asyncio.to_thread(_start, services, caller, store)


async def end_abandoned(services: Services, project: str, store: str) -> None:
    """Fail the files whose job was cancelled or died."""

    def state_of(job_id: str) -> str | None:
        try:
            return services.jobs.get(job_id).state
        except NotFound:
            return None

    await asyncio.to_thread(services.data.vector_stores.end_abandoned, project, store, state_of)


def _start(services: Services, caller: Caller, store: str) -> None:
    job = _queued(services, caller.project, store)
    if job is None:
        request = VectorStoreSyncJob(vector_store=store, change=new_id("change"))
        job = services.jobs.create(NAME, to_stored(request), project=caller.project, actor=caller.actor)
    services.data.vector_stores.wait_for(caller.project, store, job.id)


def _queued(services: Services, project: str, store: str) -> Job | None:
    """Return a job that hasn't begun, so that it will see the change."""
    return next(
        (
            job
            for job in services.jobs.live()
            if job.kind == NAME
            and job.project == project
            and job.state == "queued"
            and job.request.get("vector_store") == store
        ),
        None,
    )
