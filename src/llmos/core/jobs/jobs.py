"""Jobs: their states, progress and results, kept in the database so that a job is found again after a restart.

               start              succeed, fail
    queued ─────────────▶ running ──────────────▶ succeeded, failed
      │  ▲                 │ │ │
      │  └──── requeue ────┘ │ └─── interrupt ──▶ interrupted
      └────────── cancel ────┴──────────────────▶ cancelled

A state is entered in a transaction that has seen the previous one: if a job is cancelled and ends at the same time,
exactly one of both wins. gateway/jobs/job_runner.py does the work.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import Conflict, LLMOSError, NotFound, error_of_code
from llmos.core.ids import new_id
from llmos.core.jobs import queries
from llmos.core.jobs.tables import JobRow

_log = logging.getLogger(__name__)

State = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted"]
"""interrupted: the server stopped or died while the job ran, and it isn't of a kind that resumes."""

STATES: tuple[State, ...] = ("queued", "running", "succeeded", "failed", "cancelled", "interrupted")
LIVE_STATES: tuple[State, ...] = ("queued", "running")
_RUNNING: tuple[State, ...] = ("running",)

INSTALLATION = "owner"
"""The installation's own project, which jobs belong to unless told otherwise."""

KEEP = timedelta(days=30)
"""Jobs that ended longer ago are removed."""

WRITE_SECONDS = 0.5
"""Progress is written to the database at most once in this time."""

NOTIFY_SECONDS = 0.05
"""Subscribers are notified of a part's progress at most once in this time, but always of its start and its end."""

_Progress = list[list[Any]]
"""The progress in a row: [label, num_done, num_total] for each part."""


@dataclass(frozen=True, slots=True)
class Step:
    """The progress of one part of a job, such as a file."""

    label: str
    num_done: int
    num_total: int | None
    """None if unknown."""

    @property
    def is_complete(self) -> bool:
        return self.num_done == self.num_total


@dataclass(frozen=True, kw_only=True, slots=True)
class JobError:
    code: str
    message: str
    param: str | None = None

    def as_exception(self) -> LLMOSError:
        return error_of_code(self.code, self.message, param=self.param)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    number: int
    """Rises with every job."""
    id: str
    project: str
    kind: str
    request: Mapping[str, Any]
    state: State
    is_attached: bool
    """True if the job is cancelled when its last follower leaves."""
    progress: Sequence[Step]
    """One for each part, in the order in which the parts began."""
    result: Mapping[str, Any] | None
    error: JobError | None
    actor: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def has_ended(self) -> bool:
        return self.state not in LIVE_STATES


@dataclass(slots=True)
class _Live:
    """The progress of a job that runs in this process."""

    steps: dict[str, Step] = field(default_factory=dict)
    written_at: float = 0.0
    notified_at: float = 0.0


class Jobs:
    """Any thread may call any of this. Blocks on the database."""

    def __init__(
        self, database: Database, *, clock: Clock = utc_now, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database, self._clock, self._monotonic = database, clock, monotonic
        self._lock = threading.Lock()
        self._live: dict[str, _Live] = {}
        self._subscribers: dict[str, list[Callable[[], None]]] = {}
        self.on_change: Callable[[], None] | None = None
        """Called, in some thread, when a job was created or cancelled."""
        self.is_closed = False

    def create(
        self,
        kind: str,
        request: Mapping[str, Any],
        *,
        project: str = INSTALLATION,
        actor: str | None = None,
        is_attached: bool = False,
    ) -> Job:
        """Queue a job, or return the project's queued or running one with the same kind and request.

        An attached job that is asked for without `is_attached` becomes detached.
        """
        with self._database.transaction() as session:
            live = [row for row in queries.jobs_in(session, LIVE_STATES, kind) if row.project == project]
            row = next((row for row in live if row.request == request), None)
            if row is None:
                row = JobRow(
                    id=new_id("job"),
                    project=project,
                    kind=kind,
                    request=dict(request),
                    state="queued",
                    is_attached=is_attached,
                    progress=[],
                    actor=actor,
                    created_at=self._clock(),
                )
                session.add(row)
                session.flush()
            elif not is_attached:
                row.is_attached = False
            model = request.get("model") or request.get("location")
            describe_action(row.id, kind=kind, **({"model": model} if isinstance(model, str) else {}))
            job = self._job(row)
        self._changed()
        return job

    def get(self, id: str, *, project: str | None = None) -> Job:
        """Raises NotFound. `project`: only if it belongs to this one, here and below; None: to any."""
        with self._database.session() as session:
            return self._job(_existing(queries.job(session, id), id, project))

    def list(
        self,
        *,
        project: str | None = None,
        kind: str | None = None,
        state: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """Return jobs, newest first, beginning behind the job `after`. Raises NotFound if `after` doesn't exist."""
        with self._database.session() as session:
            before = None if after is None else _existing(queries.job(session, after), after, project).number
            rows = queries.newest_jobs(session, project=project, kind=kind, state=state, before=before, limit=limit)
            return [self._job(row) for row in rows]

    def live(self) -> Sequence[Job]:
        """Return the queued and running jobs, oldest first."""
        with self._database.session() as session:
            return [self._job(row) for row in queries.jobs_in(session, LIVE_STATES)]

    def cancel(self, id: str, *, project: str | None = None) -> Job:
        """Cancel a job. Raises NotFound; Conflict for a job that has ended otherwise."""
        self.get(id, project=project)  # A job keeps its project.
        job = self._end(id, LIVE_STATES, "cancelled")
        if job.state != "cancelled":
            raise Conflict(f"{id} has {_ENDED[job.state]} already; there is nothing to cancel.")
        self._changed()
        return job

    def abandon(self, id: str) -> Job:
        """Cancel the job if it is attached: its last follower has gone. Raises NotFound."""
        job = self._end(id, LIVE_STATES, "cancelled", is_attached=True)
        self._changed()
        return job

    def subscribe(self, id: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback`, in some thread, whenever the job changes in this process. Returns how to unsubscribe."""
        with self._lock:
            self._subscribers.setdefault(id, []).append(callback)

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers[id].remove(callback)
                if not self._subscribers[id]:
                    del self._subscribers[id]

        return unsubscribe

    def close(self) -> None:
        """Notify every subscriber that this process stops: no job changes here any more."""
        self.is_closed = True
        for id in [*self._subscribers]:
            self._notify(id)

    # For the runner

    def start(self, id: str) -> Job | None:
        """Enter `running`. Returns None if the job isn't queued any more."""
        with self._database.transaction() as session:
            row = queries.job(session, id, lock=True)
            if row is None or row.state != "queued":
                return None
            row.state, row.started_at, row.progress = "running", self._clock(), []
            self._live[id] = _Live()
            job = self._job(row)
        self._notify(id)
        return job

    def report(self, id: str, step: Step) -> bool:
        """Keep the progress of one part of a job. Return whether the job still runs."""
        now = self._monotonic()
        with self._lock:
            live = self._live.get(id)
            if live is None:
                return False
            is_news = step.label not in live.steps or step.is_complete
            live.steps[step.label] = step
            must_notify = is_news or now - live.notified_at >= NOTIFY_SECONDS
            must_write = now - live.written_at >= WRITE_SECONDS
            live.notified_at = now if must_notify else live.notified_at
            live.written_at = now if must_write else live.written_at
        if must_notify:
            self._notify(id)
        if must_write:
            self._write_progress(id)
        return True

    def succeed(self, id: str, result: Mapping[str, Any]) -> Job:
        """Each of these returns the job as it is then: it may have been cancelled before."""
        return self._end(id, _RUNNING, "succeeded", result=dict(result))

    def fail(self, id: str, error: JobError) -> Job:
        return self._end(id, _RUNNING, "failed", error=error)

    def interrupt(self, id: str, error: JobError) -> Job:
        """End a job that the server can't continue. `error` says what the user can do."""
        return self._end(id, _RUNNING, "interrupted", error=error)

    def requeue(self, id: str) -> Job:
        """Put a running job back into the queue: it continues when a server runs again."""
        with self._database.transaction() as session:
            row = _existing(queries.job(session, id, lock=True), id)
            if row.state == "running":
                row.progress = self._progress(row)
                row.state = "queued"
            with self._lock:
                self._live.pop(id, None)
            job = self._job(row)
        self._notify(id)
        return job

    def remove_old(self) -> None:
        """Remove the jobs that ended longer than KEEP ago."""
        oldest = self._clock() - KEEP
        with self._database.session() as session:
            if not queries.has_ended_before(session, oldest):
                return  # Every server asks at its start, and a transaction makes all others wait.
        with self._database.transaction(frees_space=True) as session:
            queries.remove_ended_before(session, oldest)

    def _end(
        self,
        id: str,
        from_states: Sequence[State],
        state: State,
        *,
        result: dict[str, Any] | None = None,
        error: JobError | None = None,
        is_attached: bool = False,
    ) -> Job:
        """Enter a state from others, `is_attached`: only if the job is. Returns the job as it is then."""
        with self._database.transaction(frees_space=True) as session:
            row = _existing(queries.job(session, id, lock=True), id)
            if row.state in from_states and (row.is_attached or not is_attached):
                row.progress = self._progress(row)
                row.state, row.ended_at, row.result = state, self._clock(), result
                row.error = None if error is None else _error_as_json(error)
            job = self._job(row)
        if job.has_ended:
            with self._lock:
                self._live.pop(id, None)
        self._notify(id)
        return job

    def _write_progress(self, id: str) -> None:
        try:
            with self._database.transaction() as session:
                row = queries.job(session, id, lock=True)
                if row is not None and row.state == "running":
                    row.progress = self._progress(row)
        except Exception:  # The work matters more than its progress.
            _log.exception("The progress of %s can't be written", id)

    def _progress(self, row: JobRow) -> _Progress:
        """Return a running job's progress as this process knows it, and any other job's as it was written."""
        with self._lock:
            live = self._live.get(row.id)
            if live is None or row.state != "running":
                return row.progress
            return [[step.label, step.num_done, step.num_total] for step in live.steps.values()]

    def _job(self, row: JobRow) -> Job:
        return Job(
            number=row.number,
            id=row.id,
            project=row.project,
            kind=row.kind,
            request=row.request,
            state=cast(State, row.state),
            is_attached=row.is_attached,
            progress=tuple(Step(*step) for step in self._progress(row)),
            result=row.result,
            error=None if row.error is None else JobError(**row.error),
            actor=row.actor,
            created_at=row.created_at,
            started_at=row.started_at,
            ended_at=row.ended_at,
        )

    def _notify(self, id: str) -> None:
        with self._lock:
            callbacks = [*self._subscribers.get(id, ())]
        for callback in callbacks:
            callback()

    def _changed(self) -> None:
        if (on_change := self.on_change) is not None:
            on_change()


_ENDED: Mapping[str, str] = {"succeeded": "succeeded", "failed": "failed", "interrupted": "been interrupted"}


def _error_as_json(error: JobError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "param": error.param}


def _existing(row: JobRow | None, id: str, project: str | None = None) -> JobRow:
    if row is None or project not in (None, row.project):
        raise NotFound(f"There is no job {id[:80]!r}. `llmos job list` lists the jobs.", param="id")
    return row
