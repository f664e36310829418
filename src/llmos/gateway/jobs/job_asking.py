"""JobAsking: requests of jobs to models, as calls of the job's key in the background, never answered out of a cache."""

from typing import Any

import msgspec

from llmos.core.errors import LLMOSError, error_of_code
from llmos.core.jobs.jobs import Job
from llmos.gateway.jobs.background_callers import JOB
from llmos.gateway.jobs.background_calls import BackgroundCall, BackgroundCalls
from llmos.gateway.jobs.internal_requests import Reply
from llmos.gateway.jobs.kinds import Question

UNCACHED = {"cache-control": "no-store"}


class JobAsking:
    """Belongs to the event loop's thread."""

    def __init__(self, calls: BackgroundCalls) -> None:
        self._calls = calls

    async def ask(self, job: Job, question: Question) -> dict[str, Any]:
        """Return the JSON of the answer. Raises LLMOSError for one that failed, and where the key works no more."""
        call = BackgroundCall(
            project=job.project,
            key_id=job.actor,
            what=JOB,
            path=question.path,
            body=question.body,
            call_key=question.key,
            headers=UNCACHED,
        )
        return read_reply(await self._calls.post(call))


def read_reply(reply: Reply) -> dict[str, Any]:
    """Return the JSON of a reply. Raises the error that it is."""
    body = msgspec.json.decode(reply.body)
    if reply.status < 400 and isinstance(body, dict):
        return body
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        raise LLMOSError(f"The answer has the status {reply.status} and says nothing more.")
    raise error_of_code(str(error.get("code")), str(error.get("message")), param=error.get("param"))
