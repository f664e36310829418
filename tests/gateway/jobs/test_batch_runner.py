"""Lines run after live calls, take no room in the queue, and survive a killed server."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from llmos.billing.tables import LedgerRow
from llmos.core.clock import utc_now
from llmos.core.errors import Overloaded, ReplicaFailed, StoreFailed, Unavailable
from llmos.data.batches import Batch
from llmos.data.journal import Journal
from llmos.gateway.app import create_app
from llmos.gateway.calls.admission import Admission
from llmos.gateway.calls.ledger_stages import LedgerStages
from llmos.gateway.calls.stages import Stages
from llmos.gateway.jobs.background_calls import MAX_FAILURES, NUM_RUNNING_ALONE, NUM_RUNNING_BESIDE
from llmos.gateway.jobs.batch_runner import BatchRunner
from llmos.gateway.services import Services
from llmos.security.keys import NewKey
from support import looking
from support.databases import KINDS
from support.pipelines import with_parts
from support.scripted import Connection, FakePool

pytestmark = pytest.mark.anyio

CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(scope="module", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def services(services: Services) -> Services:
    """With room for one live call that runs and two that wait."""
    return with_parts(services, admission=Admission(max_running=1, max_queued=2))


@pytest.fixture
def pauses() -> list[float]:
    """The delays, in seconds, that runners waited for."""
    return []


@pytest.fixture
def runner(app: FastAPI, services: Services, pauses: list[float]) -> BatchRunner:
    return make_runner(app, services, pauses)


def make_runner(app: FastAPI, services: Services, pauses: list[float], **more: Any) -> BatchRunner:
    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    return BatchRunner(
        app,
        services.data.batches,
        services.data.files,
        services.admission,
        services.keys,
        services.users,
        pause=pause,
        **more,
    )


@asynccontextmanager
async def running(runner: BatchRunner) -> AsyncIterator[None]:
    task = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def create(services: Services, num_lines: int = 1, **body: Any) -> Batch:
    incoming = services.data.files.begin()
    for i in range(num_lines):
        line = {"custom_id": f"line {i}", "method": "POST", "url": "/v1/chat/completions", "body": CHAT | body}
        incoming.write(json.dumps(line).encode() + b"\n")
    file = services.data.files.finish(incoming, tenant="owner", purpose="batch", filename="lines.jsonl")
    return services.data.batches.create("owner", endpoint="/v1/chat/completions", input_file_id=file.id)


def look(services: Services, batch: Batch) -> Batch:
    return services.data.batches.get(batch.tenant, batch.id)


async def ended(services: Services, batch: Batch) -> Batch:
    while look(services, batch).status in ("validating", "in_progress", "finalizing", "cancelling"):
        await looking.pause()
    return look(services, batch)


async def requests(pool: FakePool, number: int) -> None:
    """Return when the model has been asked so often."""
    while len(pool.requests) < number:
        await looking.pause()


def ids(services: Services, file_id: str | None) -> list[str]:
    if file_id is None:
        return []
    lines = services.data.files.open(file_id).read().decode().splitlines()
    return sorted((json.loads(line)["custom_id"] for line in lines), key=lambda id: int(id.split()[1]))


async def settled_loops() -> None:
    """Long enough for everything that can begin to have begun."""
    for _ in range(200):
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)


async def test_lines_go_behind_all_live_calls(
    runner: BatchRunner, services: Services, pool: FakePool, http: httpx.AsyncClient
) -> None:
    await runner.run_batch(create(services, user="ann"))
    await http.post("/v1/chat/completions", json=CHAT | {"user": "ann", "priority": -99})
    line, live = pool.requests
    assert line.priority < live.priority
    assert line.caller != live.caller, "what a batch was given is not held against live calls"
    assert line.cache_salt == live.cache_salt, "they share their prompts' beginnings"


@pytest.mark.thorough
async def test_no_live_call_is_refused_because_of_a_batch(
    app: FastAPI, runner: BatchRunner, services: Services, pool: FakePool, http: httpx.AsyncClient
) -> None:
    pool.gate = asyncio.Event()
    async with running(runner):
        batch = create(services, 50)
        await requests(pool, NUM_RUNNING_ALONE)
        callers = [Connection(app, "/v1/chat/completions", CHAT | {"user": f"u{i}"}) for i in range(3)]
        calls = [caller.start() for caller in callers]
        await requests(pool, NUM_RUNNING_ALONE + 3)
        assert (await http.post("/v1/chat/completions", json=CHAT)).status_code == 429, "live calls fill the queue"
        pool.gate.set()
        await asyncio.gather(*calls)
        for caller in callers:
            assert '"Hello"' in caller.text
        assert (await ended(services, batch)).num_completed == 50, "lines waited, none was refused"


@pytest.mark.thorough
async def test_a_few_lines_run_and_fewer_beside_live_calls(
    app: FastAPI, runner: BatchRunner, services: Services, pool: FakePool
) -> None:
    alone, beside, last = asyncio.Event(), asyncio.Event(), asyncio.Event()
    for _ in range(NUM_RUNNING_ALONE):
        pool.enqueue(alone, "Hello")
    async with running(runner):
        batch = create(services, NUM_RUNNING_ALONE + 20)
        await requests(pool, NUM_RUNNING_ALONE)
        await settled_loops()
        assert len(pool.requests) == NUM_RUNNING_ALONE
        pool.enqueue("Hel", last)
        live = Connection(app, "/v1/chat/completions", CHAT | {"stream": True})
        call = live.start()
        await live.first_chunk()
        for _ in range(20):
            pool.enqueue(beside, "Hello")
        alone.set()
        await requests(pool, NUM_RUNNING_ALONE + 1 + NUM_RUNNING_BESIDE)
        await settled_loops()
        assert len(pool.requests) == NUM_RUNNING_ALONE + 1 + NUM_RUNNING_BESIDE
        last.set()
        await call
        beside.set()
        assert (await ended(services, batch)).num_completed == NUM_RUNNING_ALONE + 20


@pytest.mark.thorough
async def test_a_short_batch_does_not_wait_for_a_long_one_before_it(
    runner: BatchRunner, services: Services, pool: FakePool
) -> None:
    gate = asyncio.Event()
    for _ in range(NUM_RUNNING_ALONE):
        pool.enqueue(gate, "Hello")
    async with running(runner):
        long = create(services, 60)
        await requests(pool, NUM_RUNNING_ALONE)
        short = create(services, 1)
        while look(services, short).status != "in_progress":
            await looking.pause()
        await settled_loops()
        gate.set()
        await ended(services, short)
        assert look(services, long).num_completed < 60
        assert (await ended(services, long)).num_completed == 60


@pytest.mark.thorough
async def test_the_next_server_runs_only_the_lines_without_an_answer(
    app: FastAPI, services: Services, pool: FakePool, pauses: list[float]
) -> None:
    """Cut off at every place: each time one more line gets its answer."""
    batch = create(services, 10)
    for num_answers in range(10):
        pool.requests.clear()
        pool.scripts.clear()
        pool.enqueue("Hello")
        for _ in range(10):
            pool.enqueue(pool.never)
        async with running(make_runner(app, services, pauses)):
            while look(services, batch).num_completed == num_answers:
                await looking.pause()
        assert len(pool.requests) <= 10 - num_answers, "an answered line is not asked again"
    async with running(make_runner(app, services, pauses)):
        done = await ended(services, batch)
    assert (done.status, done.num_completed, done.usage["output_tokens"]) == ("completed", 10, 20)
    assert ids(services, done.output_file_id) == [f"line {i}" for i in range(10)]


async def test_a_line_that_is_answered_again_after_a_crash_is_counted_once(
    services: Services, pool: FakePool, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server dies between the line's entry in the ledger and its answer in the journal; before, it was cut off."""
    metering = LedgerStages(services.billing.ledger_writer)
    stages = Stages(holds=(metering.hold,), filters=(metering.filter,))
    app = create_app(services := with_parts(services, stages=stages))
    batch = create(services)
    pool.enqueue("Hel", pool.never)
    async with running(make_runner(app, services, pauses)):
        await requests(pool, 1)
        await settled_loops()
    died = asyncio.Event()
    loop = asyncio.get_running_loop()

    def die(*_: Any) -> None:
        loop.call_soon_threadsafe(died.set)
        raise StoreFailed("The process was killed.")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "write", die)
        async with running(make_runner(app, services, pauses)):
            await died.wait()
    async with running(make_runner(app, services, pauses)):
        done = await ended(services, batch)
    assert (done.num_completed, len(pool.requests) >= 3) == (1, True)
    await asyncio.to_thread(services.billing.ledger_writer.flush)
    with services.receipts._database.session() as session:
        rows = session.scalars(select(LedgerRow)).all()
    assert [(row.outcome, row.output_tokens) for row in rows] == [("answered", 3)]
    answer = json.loads(services.data.files.open(done.output_file_id or "").read())["response"]["body"]
    assert rows[0].call_id == answer["id"]


async def test_an_end_that_was_cut_off_is_made_good(
    app: FastAPI, services: Services, pool: FakePool, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the last answer and the files' rows."""
    batch = create(services, 3)
    is_at_the_end = asyncio.Event()
    loop = asyncio.get_running_loop()

    with monkeypatch.context() as patched:
        patched.setattr(services.data.batches, "end", lambda *_: loop.call_soon_threadsafe(is_at_the_end.set))
        async with running(make_runner(app, services, pauses)):
            await is_at_the_end.wait()
    assert look(services, batch).status == "finalizing"
    pool.requests.clear()
    async with running(make_runner(app, services, pauses)):
        done = await ended(services, batch)
    assert (done.status, pool.requests) == ("completed", [])
    assert ids(services, done.output_file_id) == ["line 0", "line 1", "line 2"]


async def test_a_line_waits_when_a_live_call_would_be_rejected(
    runner: BatchRunner, services: Services, pool: FakePool, pauses: list[float]
) -> None:
    for _ in range(5):
        pool.enqueue(Unavailable("It is started again.", retry_after_seconds=7))
    pool.enqueue(Overloaded("Too much.", retry_after_seconds=3))
    batch = create(services)
    await runner.run_batch(batch)
    assert look(services, batch).num_completed == 1
    assert pauses == [7.0] * 5 + [3.0]


async def test_a_line_that_kills_the_models_process_again_and_again_fails(
    runner: BatchRunner, services: Services, pool: FakePool
) -> None:
    for _ in range(MAX_FAILURES):
        pool.enqueue(ReplicaFailed("It died."))
    batch = create(services)
    await runner.run_batch(batch)
    assert look(services, batch).num_failed == 1
    assert len(pool.requests) == MAX_FAILURES


async def test_a_bug_is_that_lines_error(
    runner: BatchRunner, services: Services, pool: FakePool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.enqueue(ZeroDivisionError("a bug"))
    batch = create(services, 3)
    await runner.run_batch(batch)
    done = look(services, batch)
    assert (done.num_completed, done.num_failed) == (2, 1)
    error = json.loads(services.data.files.open(done.error_file_id or "").read().decode())
    assert error["response"]["status_code"] == 500
    assert "a bug" not in json.dumps(error)


async def test_lines_without_an_answer_in_time_expire(
    app: FastAPI, services: Services, pool: FakePool, pauses: list[float]
) -> None:
    tomorrow = make_runner(app, services, pauses, clock=lambda: utc_now() + timedelta(hours=25))
    batch = create(services, 5)
    await tomorrow.run_batch(batch)
    done = look(services, batch)
    assert (done.status, done.num_failed, done.output_file_id) == ("expired", 5, None)
    assert ids(services, done.error_file_id) == [f"line {i}" for i in range(5)]
    assert "batch_expired" in services.data.files.open(done.error_file_id or "").read().decode()


async def test_a_batch_cancelled_before_it_starts_runs_nothing(
    runner: BatchRunner, services: Services, pool: FakePool
) -> None:
    batch = create(services, 5)
    services.data.batches.cancel("owner", batch.id)
    async with running(runner):
        done = await ended(services, batch)
    assert (done.status, done.num_failed, pool.requests) == ("cancelled", 5, [])


async def test_a_disk_that_was_full_for_a_while_loses_nothing(
    app: FastAPI, services: Services, pauses: list[float], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    batch = create(services, 40)
    runner = make_runner(app, services, pauses)
    write, num_writes = Journal.write, 0

    def write_but_once(journal: Journal, entries: Any) -> None:
        nonlocal num_writes
        num_writes += 1
        if num_writes == 2:
            raise StoreFailed("The disk is full.")
        write(journal, entries)

    monkeypatch.setattr(Journal, "write", write_but_once)
    await runner.run_batch(batch)
    assert look(services, batch).status == "in_progress"
    assert any(record.levelno == logging.ERROR and batch.id in record.message for record in caplog.records)
    await runner.run_batch(look(services, batch))
    done = look(services, batch)
    assert (done.status, done.num_completed) == ("completed", 40)
    assert ids(services, done.output_file_id) == [f"line {i}" for i in range(40)]


async def test_one_process_at_a_time_carries_out_the_batches_of_a_home(
    app: FastAPI, services: Services, pool: FakePool, pauses: list[float]
) -> None:
    pool.enqueue(pool.never)
    async with running(make_runner(app, services, pauses)):
        batch = create(services)
        await requests(pool, 1)
        async with running(make_runner(app, services, pauses)):
            while len(pauses) < 3:
                await looking.pause()
            assert len(pool.requests) == 1
    async with running(make_runner(app, services, pauses)):
        assert (await ended(services, batch)).status == "completed"


async def test_an_ending_server_gives_lines_up_at_once(runner: BatchRunner, services: Services, pool: FakePool) -> None:
    pool.enqueue("Hel", pool.never)
    async with running(runner):
        batch = create(services)
        await requests(pool, 1)
    assert pool.closed_early == [pool.requests[0].id]
    assert look(services, batch).status == "in_progress"


@pytest.mark.parametrize("num_turns", range(6))
async def test_an_end_is_not_missed_for_the_change_that_comes_with_it(
    runner: BatchRunner, services: Services, monkeypatch: pytest.MonkeyPatch, num_turns: int
) -> None:
    """The turn of the loop that would lose it depends on asyncio, so all near ones are tried."""
    monkeypatch.setattr("llmos.gateway.jobs.batch_runner.POLL_SECONDS", 3600)
    task = asyncio.create_task(runner.run())
    while services.data.batches.on_change is None:
        await looking.pause()
    await settled_loops()
    services.data.batches.on_change()
    for _ in range(num_turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()


async def test_an_input_that_is_gone_fails_the_batch(runner: BatchRunner, services: Services) -> None:
    batch = create(services)
    services.data.files.path(batch.input_file_id).unlink()
    await runner.run_batch(batch)
    assert [problem.code for problem in look(services, batch).problems] == ["file_missing"]


def create_with(services: Services, key_id: str, num_lines: int = 1) -> Batch:
    batch = create(services, num_lines)
    return services.data.batches.create(
        "owner", endpoint=batch.endpoint, input_file_id=batch.input_file_id, key_id=key_id
    )


async def test_lines_run_with_the_rights_of_the_key_that_created_the_batch(
    runner: BatchRunner, services: Services, pool: FakePool
) -> None:
    free, _ = services.keys.create(NewKey(role="owner"))
    bound, _ = services.keys.create(NewKey(routes=["twin"]))
    await runner.run_batch(batch := create_with(services, free.id))
    assert look(services, batch).num_completed == 1
    await runner.run_batch(batch := create_with(services, bound.id))
    assert (look(services, batch).num_completed, look(services, batch).num_failed) == (0, 1)
    assert (
        "may not ask for 'dialogue'"
        in services.data.files.open(str(look(services, batch).error_file_id)).read().decode()
    )
    assert len(pool.requests) == 1


async def test_a_batch_of_a_user_runs_with_the_rights_that_the_user_has_now(
    runner: BatchRunner, services: Services, pool: FakePool
) -> None:
    services.users.create("ann", role="developer")
    await runner.run_batch(create_with(services, "user:ann"))
    assert [each.caller for each in pool.requests] == ["\nowner\nann"]
    services.users.disable("ann")
    await runner.run_batch(batch := create_with(services, "user:ann", 2))
    assert len(pool.requests) == 1
    errors = services.data.files.open(str(look(services, batch).error_file_id)).read().decode()
    assert "The user ann is disabled" in errors


async def test_a_batch_does_not_outlive_its_key(runner: BatchRunner, services: Services, pool: FakePool) -> None:
    key, _ = services.keys.create(NewKey())
    services.keys.revoke(key.id)
    await runner.run_batch(batch := create_with(services, key.id, 2))
    assert look(services, batch).num_failed == 2
    errors = services.data.files.open(str(look(services, batch).error_file_id)).read().decode()
    assert f"{key.id} was revoked" in errors
    assert "invalid_api_key" in errors
    assert pool.requests == []
