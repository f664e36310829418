"""The descriptions of jobs."""

from llmos.core.jobs.jobs import Job
from llmos.core.schemas.jobs import JobDescription, JobFailure, JobStep


def describe_job(job: Job) -> JobDescription:
    error = job.error
    return JobDescription(
        id=job.id,
        project=job.project,
        kind=job.kind,
        state=job.state,
        request=dict(job.request),
        progress=[JobStep(label=step.label, num_done=step.num_done, num_total=step.num_total) for step in job.progress],
        result=None if job.result is None else dict(job.result),
        error=None if error is None else JobFailure(code=error.code, message=error.message, param=error.param),
        actor=job.actor,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
    )
