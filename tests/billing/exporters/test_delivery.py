"""Each entry of the ledger is counted exactly once by a receiver that fails in every way."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from llmos.billing.exporters import batches as batching
from llmos.billing.exporters.batches import ExportBatches
from llmos.billing.exporters.exporters import Exporters, NewExporter
from llmos.billing.ledger import Ledger
from llmos.core.database import Database
from llmos.core.posting import Poster
from llmos.gateway.jobs.exporter_runner import ExporterRunner
from support.ledger import entry
from support.metering import MeteringService, metering
from support.turned_clock import Clock

pytestmark = pytest.mark.anyio

KINDS = ("openmeter", "lago")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def database_kind() -> str:
    """The kinds differ in nothing that most tests here ask; test_both_kinds_of_databases() asks both."""
    return "sqlite"


def add(exporters: Exporters, service: MeteringService, name: str = "meter", **fields: Any) -> None:
    url = service.url + ("/events" if service.kind == "cloudevents" else "")
    exporters.add(NewExporter(name=name, kind=service.kind, url=url, allow_private=True, **fields))


def fill(ledger: Ledger, num_entries: int, first: int = 0, **fields: Any) -> None:
    ledger.add([entry(f"answer-{number}", **fields) for number in range(first, first + num_entries)])


async def send(batches: ExportBatches, **options: Any) -> bool:
    """Make one attempt of each exporter that is due. Return whether there was one."""
    async with Poster(**options) as poster:
        return await attempt(batches, poster)


async def attempt(batches: ExportBatches, poster: Poster) -> bool:
    due = batches.due()
    for id in due:
        if (claim := batches.claim(id)) is not None:
            batches.finish(claim, await claim.channel.deliver(poster, claim.lines))
    return bool(due)


async def send_all(batches: ExportBatches, clock: Clock) -> None:
    """Make attempts, as the time goes on, until nothing is left."""
    async with Poster() as poster:
        for _ in range(60):
            clock.advance(seconds=400)  # Longer than any delay, and any lease.
            if not await attempt(batches, poster):
                return
    raise AssertionError("there is always something left")


@pytest.mark.parametrize("kind", [*KINDS, "cloudevents"])
async def test_every_entry_arrives_once_in_batches(
    kind: str, exporters: Exporters, batches: ExportBatches, ledger: Ledger, clock: Clock
) -> None:
    with metering(kind) as service:
        add(exporters, service, key="secret-1")
        fill(ledger, 250)
        await send_all(batches, clock)
        assert (service.sum("num_calls"), service.sum("input_tokens")) == (250, 5 * 250)
    assert max(service.batches) <= 100
    assert service.num_repeated == 0
    assert {each["authorization"] for each in service.headers} == {"Bearer secret-1"}
    expected = "application/json" if kind == "lago" else "application/cloudevents-batch+json"
    assert {each["content-type"] for each in service.headers} == {expected}
    found = exporters.get("meter")
    assert (found.num_delivered, found.num_pending, found.state) == (250, 0, "running")
    assert found.delivered_at is not None


@pytest.mark.parametrize("kind", KINDS)
async def test_failures_of_every_kind_lose_and_double_nothing(
    kind: str, exporters: Exporters, batches: ExportBatches, ledger: Ledger, clock: Clock
) -> None:
    faults = {1: 500, 2: "drop", 3: "cut", 4: 503, 6: "cut", 7: 429, 8: 502, 9: "cut"}
    with metering(kind, fault=faults.get) as service:
        add(exporters, service)
        fill(ledger, 300)
        await send_all(batches, clock)
        assert service.sum("num_calls") == 300
        assert service.num_repeated > 0, "what was cut off before the answer is sent again with the same id"
    found = exporters.get("meter")
    assert (found.num_delivered, found.num_refused, found.error) == (300, 0, "")


async def test_an_outage_is_waited_out_over_a_restart(
    exporters: Exporters, batches: ExportBatches, ledger: Ledger, clock: Clock, database: Database
) -> None:
    with metering() as service:
        port = service.port
    add(exporters, service)
    fill(ledger, 3)
    assert await send(batches)
    found = exporters.get("meter")
    assert (found.state, "can't be reached" in found.error) == ("waiting", True)
    assert found.next_attempt_at is not None
    assert batches.due() == [], "not before its time"
    again = ExportBatches(database, exporters, clock=clock)
    clock.now = found.next_attempt_at
    with metering(port=port) as service:
        assert await send(again)
        assert service.sum("num_calls") == 3


async def test_delays_grow_to_minutes_and_a_receiver_may_ask_for_more(
    exporters: Exporters, batches: ExportBatches, ledger: Ledger, clock: Clock
) -> None:
    delays = []
    with metering(fault=lambda number: 500) as service:
        add(exporters, service)
        fill(ledger, 1)
        async with Poster() as poster:
            for _ in range(8):
                assert await attempt(batches, poster)
                due = exporters.get("meter").next_attempt_at
                assert due is not None
                delays.append((due - clock()).total_seconds())
                clock.now = due
    assert delays[0] <= 6
    assert delays[-1] == batching.MAX_DELAY_SECONDS
    exporters.resume("meter")
    assert batches.due() != [], "resume tries at once"


async def test_a_slow_receiver_gets_it_again(
    exporters: Exporters, batches: ExportBatches, ledger: Ledger, clock: Clock
) -> None:
    gone = threading.Event()
    with metering(before=lambda: gone.wait(30)) as service:
        add(exporters, service)
        fill(ledger, 2)
        await send(batches, timeout_seconds=0.2)
        assert "no answer within 0.2 seconds" in exporters.get("meter").error
        gone.set()
        await send_all(batches, clock)
        assert (service.sum("num_calls"), service.num_repeated) == (2, 2)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refused_entry_is_set_aside_with_the_reason_and_blocks_nothing(
    kind: str, exporters: Exporters, batches: ExportBatches, ledger: Ledger, clock: Clock
) -> None:
    bad = {"answer-17/0", "answer-18/0", "answer-99/0"}

    def refuses(event: Any) -> str:
        is_bad = any(event.get("id", event.get("transaction_id", "")).startswith(each) for each in bad)
        return "no such customer" if is_bad else ""

    with metering(kind, refuses=refuses) as service:
        add(exporters, service)
        fill(ledger, 120)
        await send_all(batches, clock)
        assert service.sum("num_calls") == 117
        found = exporters.get("meter")
        assert {each.entry for each in found.refused} == bad
        assert all("no such customer" in each.reason for each in found.refused)
        assert (found.num_refused, found.num_delivered, found.num_pending) == (3, 117, 0)
        assert service.num_requests < 60
        bad.remove("answer-18/0")
        assert exporters.retry("meter").num_refused == 3
        assert all(each.is_waiting for each in exporters.get("meter").refused)
        await send_all(batches, clock)
        assert service.sum("num_calls") == 118
    found = exporters.get("meter")
    assert {each.entry: each.is_waiting for each in found.refused} == dict.fromkeys(bad, False)
    assert found.num_delivered == 118


async def test_a_receiver_that_refuses_everything_pauses_the_exporter(
    exporters: Exporters, batches: ExportBatches, ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "MAX_REFUSED", 5)
    monkeypatch.setattr(batching, "MAX_LINES", 4)
    with metering(refuses=lambda event: "wrong") as service:
        add(exporters, service)
        fill(ledger, 20)
        await send_all(batches, clock)
    found = exporters.get("meter")
    assert (found.state, found.num_refused, found.num_pending) == ("paused", 8, 12)
    assert "llmos exporter retry meter" in found.error


@pytest.mark.parametrize("status", [401, 404, 307])
async def test_a_receiver_that_takes_nothing_is_no_refusal_of_entries(
    status: int, exporters: Exporters, batches: ExportBatches, ledger: Ledger, clock: Clock
) -> None:
    with metering(fault=lambda number: status) as service:
        add(exporters, service)
        fill(ledger, 3)
        await send(batches)
    found = exporters.get("meter")
    assert (found.num_refused, found.num_pending, found.state) == (0, 3, "waiting")
    assert str(status) in found.error


async def test_reversals_are_events_too(
    exporters: Exporters, batches: ExportBatches, ledger: Ledger, clock: Clock
) -> None:
    with metering() as service:
        add(exporters, service)
        fill(ledger, 3)
        await send_all(batches, clock)
        ledger.reverse("answer-1", note="It was empty")
        await send_all(batches, clock)
    assert service.sum("num_calls") == 2
    assert service.counted["answer-1/-1"]["data"]["reversal_of"] == "answer-1/0"


async def test_two_servers_send_an_entry_once(
    exporters: Exporters, batches: ExportBatches, ledger: Ledger, clock: Clock, database: Database
) -> None:
    with metering() as service:
        add(exporters, service)
        fill(ledger, 5)
        (id,) = batches.due()
        first = batches.claim(id)
        assert first is not None
        other = ExportBatches(database, exporters, clock=clock)
        assert (list(other.due()), other.claim(id)) == ([], None)
        clock.advance(seconds=91)
        second = other.claim(id)
        assert second is not None, "the lease of a server that died has ended"
        async with Poster() as poster:
            delivery = await second.channel.deliver(poster, second.lines)
            batches.finish(first, delivery)
            assert exporters.get("meter").num_delivered == 0, "what a server does whose lease has ended isn't counted"
            other.finish(second, delivery)
        assert exporters.get("meter").num_delivered == 5


async def test_what_ran_out_of_time_is_a_part_of_the_next_batch(
    exporters: Exporters, batches: ExportBatches, ledger: Ledger
) -> None:
    times = iter([0.0, 1.0, 31.0])
    with metering() as service:
        add(exporters, service)
        fill(ledger, 150)
        (id,) = batches.due()
        claim = batches.claim(id)
        assert claim is not None
        async with Poster() as poster:
            delivery = await claim.channel.deliver(poster, claim.lines, lambda: next(times))
        batches.finish(claim, delivery)
        found = exporters.get("meter")
        assert (found.num_delivered, found.num_pending, found.error) == (100, 50, "")


async def test_a_test_says_what_the_receiver_answered(exporters: Exporters, batches: ExportBatches) -> None:
    with metering("lago") as service:
        add(exporters, service)
        async with Poster() as poster:
            answer = await exporters.test("meter", poster)
        assert (answer.is_accepted, answer.status, answer.event["code"]) == (True, 200, "llmos_test")
    async with Poster() as poster:
        answer = await exporters.test("meter", poster)
    assert (answer.is_accepted, answer.status) == (False, None)
    assert "can't be reached" in answer.error


async def test_nothing_is_sent_to_a_private_address_that_is_not_allowed(
    exporters: Exporters, batches: ExportBatches, ledger: Ledger
) -> None:
    exporters.add(NewExporter(name="inside", kind="cloudevents", url="https://127.0.0.1/events"))
    exporters.add(NewExporter(name="cloud", kind="cloudevents", url="https://169.254.169.254/", allow_private=True))
    fill(ledger, 1)
    await send(batches)
    assert "private" in exporters.get("inside").error
    assert "metadata" in exporters.get("cloud").error


@pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"])
async def test_both_kinds_of_databases(
    database_kind: str, exporters: Exporters, batches: ExportBatches, ledger: Ledger, clock: Clock
) -> None:
    with metering(refuses=lambda event: "wrong" if event["id"] == "answer-1/0" else "") as service:
        add(exporters, service, subject="user")
        fill(ledger, 4)
        running = asyncio.create_task(ExporterRunner(batches, poll_seconds=0.02).run())
        while exporters.get("meter").num_pending:
            await asyncio.to_thread(service.arrived.acquire, timeout=0.05)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert service.sum("num_calls") == 3
        clock.advance(seconds=1)
        exporters.retry("meter")
        service.refuses, service.fault = lambda event: "", lambda number: 503
        assert await send(batches)
        assert "503" in exporters.get("meter").error
        service.fault = lambda number: None
        await send_all(batches, clock)
        assert service.sum("num_calls") == 4
    assert {each["subject"] for each in service.counted.values()} == {"acme/ann"}
    exporters.remove("meter")
    assert exporters.list() == []


@pytest.mark.process
@pytest.mark.parametrize("kind", KINDS)
async def test_a_sender_that_is_killed_before_it_knows_the_answer_doubles_nothing(
    kind: str, tmp_path: Path, exporters: Exporters, ledger: Ledger, database: Database, clock: Clock
) -> None:
    held = threading.Event()
    with metering(kind) as service:
        add(exporters, service)
        service.before = lambda: held.wait(30)
        fill(ledger, 150)
        program = Path(__file__).with_name("exporting_program.py")
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, str(program), str(database.url), str(tmp_path)]
        with subprocess.Popen(command, env=environment) as process:
            assert await asyncio.to_thread(service.arrived.acquire, timeout=60)
            process.send_signal(signal.SIGKILL)
        held.set()
        service.before = lambda: None
        assert service.sum("num_calls") > 0, "it has counted events, and the sender never heard"
        clock.advance(days=365)
        await send_all(ExportBatches(database, exporters, clock=clock), clock)
        assert service.sum("num_calls") == 150
        assert service.num_repeated > 0
