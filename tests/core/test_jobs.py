"""Jobs in the database: their states, what is known of their progress, and who may cancel what."""

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.core.errors import Conflict, NotFound
from llmos.core.ids import new_id
from llmos.core.jobs.jobs import KEEP, JobError, Jobs, Step
from support.examples import examples

STATES_AFTER = {
    "queued": {"queued", "running", "cancelled"},
    "running": {"running", "queued", "succeeded", "failed", "cancelled", "interrupted"},
}
"""The states that a job may enter from each state; all others are final."""

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FAILURE = JobError(code="download_failed", message="Every source failed.")


class Clocks:
    def __init__(self):
        self.now, self.seconds = NOON, 100.0


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def jobs(database, clocks):
    return Jobs(database, clock=lambda: clocks.now, monotonic=lambda: clocks.seconds)


@pytest.fixture
def elsewhere(database):
    """The same jobs, as another process sees them."""
    return Jobs(database)


def pull(jobs, model="smollm2", **options):
    return jobs.create("pull", {"model": model}, **options)


def test_a_job_goes_from_the_queue_to_its_result(jobs, clocks):
    created = pull(jobs, actor="owner")
    assert (created.state, created.actor, created.created_at, created.started_at) == ("queued", "owner", NOON, None)
    clocks.now += timedelta(seconds=1)
    started = jobs.start(created.id)
    assert (started.state, started.started_at) == ("running", clocks.now)
    clocks.now += timedelta(seconds=1)
    ended = jobs.succeed(created.id, {"version": "smollm2@1"})
    assert (ended.state, ended.result, ended.error, ended.ended_at) == (
        "succeeded", {"version": "smollm2@1"}, None, clocks.now,
    )  # fmt: skip
    assert jobs.get(created.id) == ended
    assert ended.has_ended
    assert jobs.live() == []


def test_a_failed_job_says_why(jobs):
    job = pull(jobs)
    jobs.start(job.id)
    failed = jobs.fail(job.id, FAILURE)
    assert (failed.state, failed.error, failed.result) == ("failed", FAILURE, None)
    error = failed.error.as_exception()
    assert (error.status, error.message) == (502, "Every source failed.")


def test_the_same_request_joins_the_job_that_has_not_ended(jobs):
    first = pull(jobs)
    assert pull(jobs).id == first.id
    assert pull(jobs, "minilm").id != first.id
    assert jobs.create("card", {"model": "smollm2"}).id != first.id
    jobs.start(first.id)
    assert pull(jobs).id == first.id
    jobs.succeed(first.id, {})
    assert pull(jobs).id != first.id


def test_many_who_ask_at_once_get_one_job(jobs):
    found, together = [], threading.Barrier(8)

    def ask():
        together.wait()
        found.append(pull(jobs).id)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8


def test_only_one_starts_a_job(jobs, elsewhere):
    job = pull(jobs)
    assert jobs.start(job.id) is not None
    assert elsewhere.start(job.id) is None
    assert jobs.start("job-unknown") is None


@pytest.mark.parametrize("is_running", [False, True])
def test_a_cancelled_job_stays_cancelled(jobs, is_running):
    job = pull(jobs)
    if is_running:
        jobs.start(job.id)
    assert jobs.cancel(job.id).state == "cancelled"
    assert jobs.cancel(job.id).state == "cancelled"
    assert jobs.start(job.id) is None
    for end in (
        lambda: jobs.succeed(job.id, {}),
        lambda: jobs.fail(job.id, FAILURE),
        lambda: jobs.interrupt(job.id, FAILURE),
        lambda: jobs.requeue(job.id),
    ):
        assert end().state == "cancelled"


def test_what_has_ended_is_not_cancelled(jobs):
    job = pull(jobs)
    jobs.start(job.id)
    jobs.succeed(job.id, {})
    with pytest.raises(Conflict, match=f"{job.id} has succeeded already"):
        jobs.cancel(job.id)
    with pytest.raises(NotFound, match="no job 'job-1'"):
        jobs.cancel("job-1")
    with pytest.raises(NotFound, match="no job"):
        jobs.get("\0")


def test_a_job_that_is_put_back_starts_again(jobs):
    job = pull(jobs)
    jobs.start(job.id)
    jobs.report(job.id, Step("model.gguf", 5, 10))
    put_back = jobs.requeue(job.id)
    assert (put_back.state, put_back.progress) == ("queued", (Step("model.gguf", 5, 10),))
    assert jobs.start(job.id).progress == ()


def test_an_interrupted_job_has_ended_and_says_what_to_do(jobs):
    job = pull(jobs)
    jobs.start(job.id)
    error = JobError(code="interrupted", message="Start it again: llmos pull smollm2")
    assert (jobs.interrupt(job.id, error).state, jobs.get(job.id).error) == ("interrupted", error)
    assert jobs.get(job.id).has_ended


def test_an_attached_job_ends_with_its_last_follower_unless_somebody_asks_for_it_besides(jobs):
    first = pull(jobs, is_attached=True)
    assert jobs.abandon(first.id).state == "cancelled"
    second = pull(jobs, is_attached=True)
    assert pull(jobs).is_attached is False
    assert jobs.abandon(second.id).state == "queued"
    assert pull(jobs, is_attached=True).is_attached is False


def test_progress_is_known_by_part_at_once_here_and_soon_elsewhere(jobs, elsewhere, clocks):
    job = pull(jobs)
    jobs.start(job.id)
    for num_done in (1, 2, 3):
        jobs.report(job.id, Step("model.gguf", num_done, 10))
    jobs.report(job.id, Step("tokenizer.json", 1, None))
    steps = (Step("model.gguf", 3, 10), Step("tokenizer.json", 1, None))
    assert jobs.get(job.id).progress == steps
    assert elsewhere.get(job.id).progress == (Step("model.gguf", 1, 10),)
    clocks.seconds += 1
    jobs.report(job.id, Step("model.gguf", 4, 10))
    assert elsewhere.get(job.id).progress == (Step("model.gguf", 4, 10), Step("tokenizer.json", 1, None))
    jobs.report(job.id, Step("model.gguf", 10, 10))
    ended = jobs.succeed(job.id, {})
    assert ended.progress[0] == elsewhere.get(job.id).progress[0] == Step("model.gguf", 10, 10)


def test_progress_that_comes_after_the_end_is_dropped(jobs):
    job = pull(jobs)
    jobs.start(job.id)
    jobs.cancel(job.id)
    jobs.report(job.id, Step("model.gguf", 1, 10))
    assert jobs.get(job.id).progress == ()


def test_subscribers_hear_of_beginnings_and_ends_always_and_of_the_rest_now_and_then(jobs, clocks):
    job, heard = pull(jobs), []
    unsubscribe = jobs.subscribe(job.id, lambda: heard.append(jobs.get(job.id)))
    jobs.start(job.id)
    for num_done in (1, 2, 3, 10):
        jobs.report(job.id, Step("a", num_done, 10))
    clocks.seconds += 1
    jobs.report(job.id, Step("b", 1, 10))
    clocks.seconds += 1
    jobs.report(job.id, Step("b", 2, 10))
    jobs.succeed(job.id, {})
    assert [each.state for each in heard] == ["running"] * 5 + ["succeeded"]
    numbers = [each.progress[-1].num_done for each in heard if each.progress]
    assert numbers == [1, 10, 1, 2, 2]
    unsubscribe()
    jobs.close()
    assert len(heard) == 6
    assert jobs.is_closed


def test_a_closing_process_tells_its_subscribers(jobs):
    job, heard = pull(jobs), []
    jobs.subscribe(job.id, lambda: heard.append(jobs.is_closed))
    jobs.close()
    assert heard == [True]


def test_a_database_that_fails_does_not_end_the_work(jobs, database, monkeypatch, caplog):
    job = pull(jobs)
    jobs.start(job.id)

    def fail():
        raise OSError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(database, "transaction", fail)
        jobs.report(job.id, Step("a", 1, 10))
    assert f"The progress of {job.id} can't be written" in caplog.text
    assert jobs.succeed(job.id, {}).state == "succeeded"


def test_whoever_starts_jobs_is_told_of_new_and_of_cancelled_ones(jobs):
    heard = []
    jobs.on_change = lambda: heard.append(len(jobs.live()))
    job = pull(jobs)
    pull(jobs, "minilm")
    jobs.cancel(job.id)
    assert heard == [1, 2, 1]


def test_jobs_are_listed_newest_first_by_kind_and_state(jobs):
    ids = [pull(jobs, name).id for name in ("a", "b", "c")]
    card = jobs.create("card", {"model": "a"})
    jobs.cancel(ids[1])
    assert [job.id for job in jobs.list()] == [card.id, *reversed(ids)]
    assert [job.id for job in jobs.list(kind="pull", state="queued")] == [ids[2], ids[0]]
    assert [job.id for job in jobs.list(limit=2)] == [card.id, ids[2]]
    assert [job.id for job in jobs.list(after=ids[2])] == [ids[1], ids[0]]
    with pytest.raises(NotFound):
        jobs.list(after="job-unknown")
    assert [job.id for job in jobs.live()] == [ids[0], ids[2], card.id]


def test_jobs_that_ended_long_ago_are_removed(jobs, clocks):
    old, live = pull(jobs, "a"), pull(jobs, "b")
    jobs.cancel(old.id)
    clocks.now += KEEP
    jobs.remove_old()
    assert {job.id for job in jobs.list()} == {old.id, live.id}
    clocks.now += timedelta(seconds=1)
    jobs.remove_old()
    assert {job.id for job in jobs.list()} == {live.id}


VERBS = st.sampled_from(["start", "succeed", "fail", "interrupt", "requeue", "cancel", "abandon", "report"])


@pytest.mark.thorough
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(st.tuples(VERBS, st.integers(0, 1)), max_size=12), is_attached=st.booleans())
def test_no_order_of_calls_from_two_processes_leads_out_of_an_end(jobs, elsewhere, calls, is_attached):
    job = pull(jobs, new_id("model"), is_attached=is_attached)
    arguments = {"succeed": ({},), "fail": (FAILURE,), "interrupt": (FAILURE,), "report": (Step("a", 1, 2),)}
    state = job.state
    for verb, process in calls:
        with suppress(Conflict):
            getattr((jobs, elsewhere)[process], verb)(job.id, *arguments.get(verb, ()))
        seen = jobs.get(job.id)
        assert seen.state in STATES_AFTER.get(state, {state})
        assert seen == elsewhere.get(job.id) or seen.state == "running", "only progress is known here first"
        assert (seen.ended_at is not None) == seen.has_ended
        assert (seen.result is not None) == (seen.state == "succeeded")
        assert (seen.error is not None) == (seen.state in ("failed", "interrupted"))
        state = seen.state
    again = pull(elsewhere, job.request["model"])
    assert (again.id == job.id) == (state in ("queued", "running"))
