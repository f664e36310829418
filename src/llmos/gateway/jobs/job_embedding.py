"""JobEmbedding: vectors for jobs, made in the serving process by the pipeline, in the background, for the job's key."""

import asyncio

from llmos.core.errors import LLMOSError, RateLimited, ReplicaFailed, Unavailable
from llmos.core.jobs.jobs import Job
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.calls.text_vectors import TextsToEmbed, Vectors, embed_texts
from llmos.gateway.jobs.background_callers import BackgroundCallers
from llmos.gateway.jobs.waking import Pause

MAX_FAILURES = 3
"""A job fails after the model's process has died this many times while it embedded the same texts."""


class JobEmbedding:
    """Belongs to the event loop's thread."""

    def __init__(self, pipeline: Pipeline, callers: BackgroundCallers, *, pause: Pause = asyncio.sleep) -> None:
        self._pipeline, self._callers, self._pause = pipeline, callers, pause

    async def embed(self, job: Job, request: TextsToEmbed) -> Vectors:
        """Return the vectors. Waits as long as limits are reached and the model can't answer.

        Raises what the pipeline raises, and NotFound and Unauthenticated where the job's key doesn't work any more.
        """
        num_failures = 0
        while True:
            try:
                caller = await asyncio.to_thread(self._callers.caller, job.project, job.actor, "job")
                return await embed_texts(self._pipeline, caller, request)
            except LLMOSError as error:
                num_failures += isinstance(error, ReplicaFailed)
                # No caller waits for the answer, so the job itself retries when a live caller would be told to.
                if not isinstance(error, RateLimited | Unavailable | ReplicaFailed) or num_failures >= MAX_FAILURES:
                    raise
                await self._pause(error.retry_after_seconds or 1)
