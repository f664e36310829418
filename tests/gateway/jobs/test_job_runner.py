"""The runner: what runs beside what, and what becomes of jobs that are cancelled or whose server stops."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from llmos.core.config import load_settings
from llmos.core.database import Database
from llmos.core.errors import DownloadFailed, NotFound, Unavailable
from llmos.core.jobs.jobs import Job, JobError, Jobs, Step
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.following import AttachedJobs, follow
from llmos.gateway.jobs.job_runner import MAX_LIGHT, RETRY_SECONDS, JobRunner
from llmos.gateway.jobs.kinds import Context, JobKind, to_stored
from llmos.security.permissions import Permission

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


class Request(RequestObject, kw_only=True):
    model: str


@dataclass
class Work:
    """The work of a job, controlled by the test: it reports its number of steps, waiting before each."""

    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    began: list[str] = field(default_factory=list)
    was_stopped: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    def __call__(self, context: Context, request: Request) -> Mapping[str, Any]:
        self.began.append(request.model)
        try:
            for num_done in (1, 2):
                context.progress("part", num_done, 2)
                self.gate.acquire()
            context.progress("end", 1, 1)
        except BaseException:
            self.was_stopped.set()
            raise
        if self.error is not None:
            raise self.error
        return {"model": request.model, "actor": context.actor}

    def go_on(self) -> None:
        self.gate.release(2)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def kinds(work: Work) -> dict[str, JobKind[Any]]:
    def kind(name: str, *, resumes: bool) -> JobKind[Any]:
        return JobKind(
            name=name,
            request=Request,
            check=lambda settings, registry, request: request,
            work=work,
            command=lambda request: f"llmos {name} {request.model}",
            permission=Permission.MODELS_WRITE,
            is_heavy=False,
            resumes=resumes,
        )

    return {"pull": kind("pull", resumes=True), "look": kind("look", resumes=False)}


class Pauses:
    """Notes the pauses, and lets each end when another task has had its turn."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def pause(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.to_thread(lambda: None)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


@pytest.fixture
def runner(jobs: Jobs, kinds: dict[str, JobKind[Any]], tmp_path: Path, pauses: Pauses) -> Callable[..., JobRunner]:
    """Makes runners of the same home, as one server after another has them."""
    settings = load_settings({"LLMOS_HOME": str(tmp_path)})
    registry: Any = None
    return lambda **options: JobRunner(jobs, registry, settings, kinds=kinds, pause=pauses.pause, **options)


@asynccontextmanager
async def running(runner: JobRunner) -> AsyncIterator[None]:
    task = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def create(jobs: Jobs, kind: str = "pull", model: str = "a", **options: Any) -> Job:
    return jobs.create(kind, to_stored(Request(model=model)), **options)


async def until(jobs: Jobs, id: str, holds: Callable[[Job], bool]) -> Job:
    """Follow the job until the condition holds."""
    async for job in follow(jobs, id):
        if holds(job):
            return job
    raise AssertionError(f"the job ended as {job}")


def is_at(label: str, num_done: int) -> Callable[[Job], bool]:
    return lambda job: any((step.label, step.num_done) == (label, num_done) for step in job.progress)


def has_ended(job: Job) -> bool:
    return job.has_ended


async def test_a_job_runs_and_its_followers_see_it_to_the_end(
    jobs: Jobs, runner: Callable[[], JobRunner], work: Work
) -> None:
    job = create(jobs, actor="owner")

    async def states(began: asyncio.Event) -> list[str]:
        seen = []
        async for state in follow(jobs, job.id):
            seen.append(state.state)
            began.set()
        return seen

    waiting = [asyncio.Event() for _ in range(2)]
    followers = [asyncio.create_task(states(began)) for began in waiting]
    for began in waiting:
        await began.wait()
    async with running(runner()):
        await until(jobs, job.id, is_at("part", 1))
        work.go_on()
        for follower in followers:
            seen = await follower
            assert (seen[0], seen[-1]) == ("queued", "succeeded")
    ended = jobs.get(job.id)
    assert ended.result == {"model": "a", "actor": "owner"}
    assert ended.progress == (Step("part", 2, 2), Step("end", 1, 1))
    assert [state.state async for state in follow(jobs, job.id)] == ["succeeded"]


async def test_a_job_created_later_runs_too(jobs: Jobs, runner: Callable[[], JobRunner], work: Work) -> None:
    async with running(runner()):
        for model in ("a", "b"):
            job = await asyncio.to_thread(create, jobs, "pull", model)
            work.go_on()
            assert (await until(jobs, job.id, has_ended)).state == "succeeded"
    assert work.began == ["a", "b"]


async def test_a_failure_keeps_its_code_and_a_bug_its_secret(
    jobs: Jobs, runner: Callable[[], JobRunner], work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(runner()):
        work.error = DownloadFailed("Every source failed.")
        job = create(jobs)
        work.go_on()
        failed = await until(jobs, job.id, has_ended)
        assert (failed.state, failed.error) == (
            "failed",
            JobError(code="download_failed", message="Every source failed."),
        )
        work.error = ZeroDivisionError("a secret")
        job = create(jobs)
        work.go_on()
        failed = await until(jobs, job.id, has_ended)
        assert failed.error is not None
        assert (failed.state, failed.error.code, "a secret" in failed.error.message) == (
            "failed", "internal_error", False,
        )  # fmt: skip
        assert job.id in failed.error.message
    assert "a secret" in caplog.text


async def test_a_kind_that_is_unknown_here_fails(jobs: Jobs, runner: Callable[[], JobRunner]) -> None:
    async with running(runner()):
        failed = await until(jobs, create(jobs, "tune").id, has_ended)
    assert failed.error is not None
    assert "can't run jobs of the kind tune" in failed.error.message


async def test_a_cancelled_job_stops_where_it_next_reports(
    jobs: Jobs, runner: Callable[[], JobRunner], work: Work
) -> None:
    async with running(runner()):
        job = create(jobs)
        await until(jobs, job.id, is_at("part", 1))
        assert (await asyncio.to_thread(jobs.cancel, job.id)).state == "cancelled"
        again = await asyncio.to_thread(create, jobs)
        assert again.id != job.id
        work.gate.release(4)
        assert (await until(jobs, again.id, has_ended)).state == "succeeded"
        assert await asyncio.to_thread(work.was_stopped.wait, 60)
    assert jobs.get(job.id).state == "cancelled"


async def test_only_so_many_run_at_once_and_the_oldest_first(
    jobs: Jobs, runner: Callable[[], JobRunner], work: Work
) -> None:
    created = [create(jobs, model=f"{i}") for i in range(MAX_LIGHT + 1)]
    async with running(runner()):
        for job in created[:-1]:
            await until(jobs, job.id, is_at("part", 1))
        assert jobs.get(created[-1].id).state == "queued"
        work.gate.release(2 * len(created))
        for job in created:
            assert (await until(jobs, job.id, has_ended)).state == "succeeded"
    assert work.began[-1] == f"{MAX_LIGHT}"


INTERRUPTED = JobError(
    code="interrupted", message="The server stopped while this job ran. Start it again: llmos look a"
)


async def test_a_server_that_stops_leaves_its_jobs_in_good_order(
    jobs: Jobs, runner: Callable[[], JobRunner], work: Work
) -> None:
    begun = runner()
    pull, look, attached = create(jobs), create(jobs, "look"), create(jobs, model="b", is_attached=True)
    async with running(begun):
        for job in (pull, look, attached):
            await until(jobs, job.id, is_at("part", 1))
    assert jobs.get(pull.id).state == "queued"
    assert (jobs.get(look.id).state, jobs.get(look.id).error) == ("interrupted", INTERRUPTED)
    assert jobs.get(attached.id).state == "cancelled"


async def test_a_server_finds_the_jobs_of_one_that_died(
    jobs: Jobs, runner: Callable[[], JobRunner], work: Work
) -> None:
    pull, look, attached = create(jobs), create(jobs, "look"), create(jobs, model="b", is_attached=True)
    waiting, unwanted = create(jobs, "look", "c"), create(jobs, model="d", is_attached=True)
    for job in (pull, look, attached):
        jobs.start(job.id)
    work.gate.release(100)
    async with running(runner()):
        assert (await until(jobs, pull.id, has_ended)).state == "succeeded"
        assert (await until(jobs, waiting.id, has_ended)).state == "succeeded"
    assert (jobs.get(look.id).state, jobs.get(look.id).error) == ("interrupted", INTERRUPTED)
    assert jobs.get(attached.id).state == "cancelled"
    assert jobs.get(unwanted.id).state == "cancelled"
    assert sorted(work.began) == ["a", "c"]


async def test_a_worker_goes_on_with_attached_jobs_whose_followers_are_elsewhere(
    jobs: Jobs, runner: Callable[..., JobRunner], work: Work
) -> None:
    attached, waiting = create(jobs, is_attached=True), create(jobs, model="b", is_attached=True)
    jobs.start(attached.id)
    work.gate.release(100)
    async with running(runner(has_followers=False)):
        for job in (attached, waiting):
            assert (await until(jobs, job.id, has_ended)).state == "succeeded"


async def test_a_job_that_another_version_left_is_interrupted_too(
    jobs: Jobs, runner: Callable[[], JobRunner], work: Work
) -> None:
    left = [jobs.create("look", {"models": ["a"]}), jobs.create("tune", {"model": "a"})]
    for job in left:
        jobs.start(job.id)
    error = JobError(code="interrupted", message="The server stopped while this job ran.")
    async with running(runner()):
        for job in left:
            ended = await until(jobs, job.id, has_ended)
            assert (ended.state, ended.error) == ("interrupted", error)


async def test_calibration_texts_are_kept_while_a_job_needs_them(
    jobs: Jobs, runner: Callable[[], JobRunner], tmp_path: Path
) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    for name in ("needed", "old", "new"):
        (folder / f"{name}.txt").write_text("a text")
        if name != "new":
            os.utime(folder / f"{name}.txt", (0, 0))
    create(jobs, model="pulled")
    jobs.create("unknown", {"calibration": "sha256:needed"})
    async with running(runner()):
        assert (await until(jobs, jobs.live()[-1].id, has_ended)).state == "failed"
    assert {path.name for path in folder.glob("*.txt")} == {"needed.txt", "new.txt"}


@pytest.mark.parametrize("verb", ["start", "succeed"])
async def test_a_state_that_can_not_be_written_is_written_later(
    jobs: Jobs, runner: Callable[[], JobRunner], work: Work, pauses: Pauses, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """A pull is done again; its bytes are there already. What doesn't resume is interrupted, with the command."""
    write, failures = getattr(jobs, verb), ["pull", "look"]

    def fails_once(id: str, *arguments: Any) -> Any:
        if (kind := jobs.get(id).kind) in failures:
            failures.remove(kind)
            raise OSError("the disk is full")
        return write(id, *arguments)

    monkeypatch.setattr(jobs, verb, fails_once)
    pull, look = create(jobs), create(jobs, "look")
    work.gate.release(100)
    async with running(runner()):
        assert (await until(jobs, pull.id, has_ended)).state == "succeeded"
        assert (await until(jobs, look.id, has_ended)).state == ("succeeded" if verb == "start" else "interrupted")
    assert pauses.seconds == [RETRY_SECONDS] * 2


async def test_followers_get_an_error_when_the_server_stops(jobs: Jobs) -> None:
    job = create(jobs)
    states = follow(jobs, job.id)
    assert (await anext(states)).state == "queued"
    jobs.close()
    with pytest.raises(Unavailable, match="The server is shutting down"):
        await anext(states)
    with pytest.raises(NotFound):
        await anext(follow(jobs, "job-unknown"))


async def test_an_attached_job_ends_with_its_last_follower(
    jobs: Jobs, runner: Callable[[], JobRunner], work: Work
) -> None:
    attached, request = AttachedJobs(jobs), to_stored(Request(model="a"))
    async with running(runner()):
        first, second = (attached.follow("pull", request, "owner") for _ in range(2))
        id = (await anext(first)).id
        assert (await anext(second)).id == id
        await first.aclose()
        assert not jobs.get(id).has_ended
        await second.aclose()
        assert jobs.get(id).state == "cancelled"
        third = attached.follow("pull", request, "owner")
        joined = (await anext(third)).id
        assert joined != id
        create(jobs)
        await third.aclose()
        assert not jobs.get(joined).has_ended
        work.gate.release(100)
        assert (await until(jobs, joined, has_ended)).state == "succeeded"


async def test_one_server_of_a_home_does_the_jobs(jobs: Jobs, runner: Callable[[], JobRunner], work: Work) -> None:
    work.gate.release(100)
    first, second = runner(), runner()
    async with running(first):
        assert (await until(jobs, create(jobs).id, has_ended)).state == "succeeded"
        async with running(second):
            assert (await until(jobs, create(jobs).id, has_ended)).state == "succeeded"
            assert not second._tasks
