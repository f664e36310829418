"""The job `eval`: ask the cases of a run of an eval that haven't been asked, and keep the verdict."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from llmos.applications.code.assertions import run_in_sandbox
from llmos.core.config import Settings
from llmos.data.evals.executing import execute
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.background_calls import NUM_RUNNING_ALONE
from llmos.gateway.jobs.kinds import Context, JobKind, Question
from llmos.models.registry import Registry
from llmos.security.permissions import Permission


class EvalJob(RequestObject, kw_only=True):
    """Run an eval. POST /llmos/v1/evals starts this job; one that was stopped goes on."""

    kind: Literal["eval"] = "eval"
    run: Annotated[str, Meta(max_length=64)]
    """The id of a run that hasn't finished."""


class JobAsker:
    """Asks models for a job, from the job's own thread."""

    def __init__(self, ask: "Callable[[Question], Future[dict[str, Any]]]", run_id: str) -> None:
        self._ask, self._run_id = ask, run_id

    async def post(self, path: str, body: Mapping[str, Any], key: str = "") -> Mapping[str, Any]:
        known_as = f"{self._run_id}/{key}" if key else ""
        question = Question(path=path, body=msgspec.json.encode(body), key=known_as)
        return await asyncio.wrap_future(self._ask(question))

    async def run_python(self, program: str) -> str:
        return await asyncio.to_thread(run_in_sandbox, program)


def _check(settings: Settings, registry: Registry, request: EvalJob) -> EvalJob:
    return request


def _work(context: Context, request: EvalJob) -> Mapping[str, Any]:
    runs = context.evals
    assert context.ask is not None, "it isn't heavy"
    assert runs is not None, "it isn't heavy"
    opened = runs.open(context.project, request.run)
    asker = JobAsker(context.ask, request.run)
    finished = asyncio.run(execute(runs, opened, asker, num_in_flight=NUM_RUNNING_ALONE, progress=context.progress))
    described: dict[str, Any] = msgspec.to_builtins(finished)
    return described


def _command(request: EvalJob) -> str:
    return f"llmos eval show {request.run}"


EVAL = JobKind(
    name="eval",
    request=EvalJob,
    check=_check,
    work=_work,
    command=_command,
    permission=Permission.EVALS_WRITE,
    is_heavy=False,
    resumes=True,
)
