"""Runs the jobs, in the serving process: computations one at a time in processes of their own, downloads in threads.

One server at a time runs the jobs of a home. A job that runs when the server stops or dies resumes when a server starts
again, if its kind can (pull); otherwise it is interrupted, with the command that starts it again: work that took the
machine down must not do so at every start. Queued jobs stay queued.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import msgspec

from llmos.core.changes import Changes
from llmos.core.clock import Clock, utc_now
from llmos.core.config import Settings
from llmos.core.errors import LLMOSError
from llmos.core.jobs.jobs import Job, JobError, Jobs, Step
from llmos.data.evals import EvalRuns
from llmos.gateway.calls.text_vectors import TextsToEmbed, Vectors
from llmos.gateway.jobs.job_process import no_embedding, run_in_process
from llmos.gateway.jobs.kinds import Context, JobKind, Question, job_kinds
from llmos.gateway.jobs.waking import Pause, lock_folder
from llmos.gateway.jobs.worker import Assignment
from llmos.models.registry import Registry

_log = logging.getLogger(__name__)

MAX_LIGHT = 8
"""The limit of jobs that run at the same time, of the kinds that aren't heavy."""

MAX_HEAVY = 1

POLL_SECONDS = 2
"""The delay until a job that another process created or cancelled is noticed."""

RETRY_SECONDS = 30
"""The delay until a job whose state couldn't be written, for example to a full disk, is checked again."""

KEEP_TEXTS_SECONDS = 24 * 3600
"""Calibration texts that no job needs are removed after this time."""


class _Stopped(Exception):
    """Raised in a job's thread, where it reports progress, when the result is no longer needed."""


class JobRunner:
    def __init__(
        self,
        jobs: Jobs,
        registry: Registry,
        settings: Settings,
        *,
        embed: "Callable[[Job, TextsToEmbed], Awaitable[Vectors]] | None" = None,
        ask: "Callable[[Job, Question], Coroutine[Any, Any, dict[str, Any]]] | None" = None,
        evals: EvalRuns | None = None,
        has_followers: bool = True,
        kinds: Mapping[str, JobKind[Any]] | None = None,
        clock: Clock = utc_now,
        pause: Pause = asyncio.sleep,
    ) -> None:
        """`embed`: makes vectors for heavy jobs. `ask`: asks models for the others. `evals`: where their runs are.
        `has_followers`: whether attached jobs are followed in this process, and end with it."""
        self._embed, self._ask, self._evals, self._has_followers = embed, ask, evals, has_followers
        self._jobs, self._registry, self._settings = jobs, registry, settings
        self._kinds = job_kinds() if kinds is None else kinds
        self._created_at = clock()
        self._pause = pause
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._heavy: set[str] = set()
        """The heavy ones of `_tasks`."""

    async def run(self) -> None:
        """Run the queued jobs and those that come, until cancelled. Jobs that run then are requeued or interrupted."""
        with ExitStack() as held:
            await lock_folder(held, self._settings.jobs_path, POLL_SECONDS, self._pause)
            self._changes = Changes()
            self._jobs.on_change = self._changes.notify
            try:
                await asyncio.to_thread(self._sweep)
                while True:
                    await self._reconcile()
                    await self._changes.wait(POLL_SECONDS)
            finally:
                self._jobs.on_change = None
                for task in self._tasks.values():
                    _cancel(task)
                await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _sweep(self) -> None:
        """Remove what is no longer needed, and the attached jobs of a server that died."""
        live = self._jobs.live()
        for job in live:
            if self._has_followers and job.is_attached and job.created_at < self._created_at:
                self._release(job)  # Its followers have gone with that server.
        self._jobs.remove_old()
        oldest = time.time() - KEEP_TEXTS_SECONDS
        needed = {f"{job.request.get('calibration')}".removeprefix("sha256:") for job in live}
        for text in self._settings.jobs_path.glob("*.txt"):
            if text.stem not in needed and text.stat().st_mtime < oldest:
                text.unlink(missing_ok=True)

    async def _reconcile(self) -> None:
        """Stop the jobs that were cancelled, take over those that no process runs any more, and start queued ones."""
        for id in [id for id, task in self._tasks.items() if task.done()]:
            del self._tasks[id]
            self._heavy.discard(id)
        try:
            live = await asyncio.to_thread(self._jobs.live)
            for job in live:
                if job.state == "running" and job.id not in self._tasks:
                    await asyncio.to_thread(self._release, job)
        except Exception:
            _log.exception("The jobs can't be read or written")
            return
        for id in self._tasks.keys() - {job.id for job in live}:
            _cancel(self._tasks[id])
        for job in live:
            if job.state == "queued" and job.id not in self._tasks and self._has_room(job):
                self._start(job)

    def _start(self, job: Job) -> None:
        self._tasks[job.id] = task = asyncio.create_task(self._run_job(job))
        task.add_done_callback(lambda _: self._changes.notify())
        if self._is_heavy(job):
            self._heavy.add(job.id)

    def _has_room(self, job: Job) -> bool:
        if self._is_heavy(job):
            return len(self._heavy) < MAX_HEAVY
        return len(self._tasks) - len(self._heavy) < MAX_LIGHT

    def _is_heavy(self, job: Job) -> bool:
        kind = self._kinds.get(job.kind)
        return kind is not None and kind.is_heavy

    async def _run_job(self, job: Job) -> None:
        try:
            await self._run_and_store(job)
        except asyncio.CancelledError:
            await asyncio.to_thread(self._release, job)
        except Exception:
            _log.exception("The state of %s can't be written; it is checked again in %d s", job.id, RETRY_SECONDS)
            await self._pause(RETRY_SECONDS)

    async def _run_and_store(self, job: Job) -> None:
        """Run a job and store how it ended. Raises what the database raises."""
        started = await asyncio.to_thread(self._jobs.start, job.id)
        if started is None:
            return
        try:
            result = await self._result_of(started)
        except LLMOSError as error:
            failure = JobError(code=error.code, message=error.message, param=error.param)
        except Exception:
            _log.exception("%s failed", job.id)
            message = f"Something went wrong inside the server. Its log has the reason; search for {job.id}."
            failure = JobError(code=LLMOSError.code, message=message)
        else:
            await asyncio.to_thread(self._jobs.succeed, job.id, result)
            return
        await asyncio.to_thread(self._jobs.fail, job.id, failure)

    async def _result_of(self, job: Job) -> Mapping[str, Any]:
        kind = self._kinds.get(job.kind)
        if kind is None:
            raise LLMOSError(f"This server can't run jobs of the kind {job.kind}. Start a newer version of LLMOS.")
        return await (self._in_process if kind.is_heavy else self._in_thread)(kind, job)

    def _release(self, job: Job) -> None:
        """Requeue, interrupt or cancel a job that this process stops running. Does nothing if it has ended."""
        kind = self._kinds.get(job.kind)
        if job.is_attached and self._has_followers:
            self._jobs.abandon(job.id)
        elif kind is not None and kind.resumes:
            self._jobs.requeue(job.id)
        else:
            message = f"The server stopped while this job ran.{self._advice(job)}"
            self._jobs.interrupt(job.id, JobError(code="interrupted", message=message))

    def _advice(self, job: Job) -> str:
        """Return how to start the job again; nothing for the job of another version of LLMOS."""
        kind = self._kinds.get(job.kind)
        try:
            return (
                "" if kind is None else f" Start it again: {kind.command(msgspec.convert(job.request, kind.request))}"
            )
        except msgspec.ValidationError:
            return ""

    async def _in_process(self, kind: JobKind[Any], job: Job) -> Mapping[str, Any]:
        assignment = Assignment(
            settings=self._settings, kind=kind.name, request=dict(job.request), project=job.project, actor=job.actor
        )
        embed = no_embedding if self._embed is None else partial(self._embed, job)
        return await run_in_process(assignment, partial(self._jobs.report, job.id), embed)

    async def _in_thread(self, kind: JobKind[Any], job: Job) -> Mapping[str, Any]:
        loop, is_stopped = asyncio.get_running_loop(), threading.Event()
        outcome: asyncio.Future[Mapping[str, Any]] = loop.create_future()
        questions: set[Future[dict[str, Any]]] = set()

        def ask(question: Question) -> "Future[dict[str, Any]]":
            assert self._ask is not None, "there are models"
            future = asyncio.run_coroutine_threadsafe(self._ask(job, question), loop)
            questions.add(future)
            future.add_done_callback(questions.discard)
            return future

        def progress(label: str, num_done: int, num_total: int | None) -> None:
            if is_stopped.is_set() or not self._jobs.report(job.id, Step(label, num_done, num_total)):
                raise _Stopped

        def work() -> None:
            context = Context(
                settings=self._settings,
                registry=self._registry,
                project=job.project,
                actor=job.actor,
                progress=progress,
                evals=self._evals,
                ask=None if self._ask is None else ask,
            )
            try:
                result = kind.work(context, msgspec.convert(job.request, kind.request))
            except _Stopped:
                return
            except BaseException as error:
                _call_in(loop, partial(_set_exception, outcome, error))
            else:
                _call_in(loop, partial(_set_result, outcome, result))

        # A thread of its own: downloads would soon take all threads of the loop's pool. It is a daemon, so that it
        # doesn't keep the process alive.
        threading.Thread(target=work, name=f"{kind.name} {job.id}", daemon=True).start()
        try:
            return await outcome
        finally:
            is_stopped.set()
            for future in [*questions]:
                future.cancel()


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # The loop is closed, and the server has stopped.
        loop.call_soon_threadsafe(function)


def _set_result(future: asyncio.Future[Mapping[str, Any]], result: Mapping[str, Any]) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[Mapping[str, Any]], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _cancel(task: "asyncio.Task[None]") -> None:
    """Cancel a task, only once: another time would interrupt it while it ends its process."""
    if not task.cancelling():
        task.cancel()
