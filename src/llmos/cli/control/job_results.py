"""The progress and the result of a job on a server."""

from collections.abc import Callable, Mapping
from typing import Any

from llmos.core.errors import LLMOSError, error_of_code
from llmos.core.schemas.jobs import JobDescription


def show_progress(job: JobDescription, progress: Callable[[str, int, int | None], object]) -> None:
    """Report the part of the job that is being worked on."""
    if job.progress:
        step = next((each for each in job.progress if each.num_done != each.num_total), job.progress[-1])
        progress(step.label, step.num_done, step.num_total)
    elif job.state == "queued":
        progress("waiting for other jobs", 0, None)


def result_of(job: JobDescription) -> Mapping[str, Any]:
    """Return the result of a job that has ended. Raises the error that it ended with."""
    if job.error is not None:
        raise error_of_code(job.error.code, job.error.message, param=job.error.param)
    if job.result is None:
        raise LLMOSError(f"The job {job.id} was {job.state}.")
    return job.result
