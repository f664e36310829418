"""Messages arrive at a real receiver: one that is down, slow, redirects, fails, or gets a message twice."""

import asyncio
import ipaddress
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from llmos.core.addresses import refusal
from llmos.core.database import Database
from llmos.core.webhooks.events import Event
from llmos.core.webhooks.outbox import Outbox
from llmos.core.webhooks.sending import Sender
from llmos.core.webhooks.signing import is_signed
from llmos.core.webhooks.webhooks import NewWebhook, Webhooks
from llmos.gateway.jobs.webhook_runner import WebhookRunner
from support.receiver import receiving
from support.turned_clock import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """The kinds differ in nothing that is asked here."""
    kind: str = request.param
    return kind


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


def add(webhooks: Webhooks, url: str, name: str = "crm") -> str:
    return webhooks.add("acme", NewWebhook(name=name, url=url, allow_private=True)).secret


def happen(database: Database, outbox: Outbox, key: str = "one", to: str | None = None) -> None:
    prepared = outbox.prepare("acme", Event(type="handoff.created", key=key, data={"key": key}), to=to)
    with database.transaction() as session:
        outbox.add(session, prepared)
    outbox.notify()


async def send(outbox: Outbox, **options: Any) -> Any:
    """Make the attempt that is due."""
    (webhook,) = outbox.webhooks_with_due()
    message = outbox.claim(webhook)
    assert message is not None
    async with Sender(**options) as sender:
        return outbox.finish(message, await sender.send(message))


async def test_a_message_is_signed_and_says_what_happened(
    webhooks: Webhooks, outbox: Outbox, database: Database
) -> None:
    with receiving() as receiver:
        secret = add(webhooks, receiver.url)
        happen(database, outbox)
        assert (await send(outbox)).state == "delivered"
    ((headers, body),) = receiver.got
    assert is_signed(secret, headers, body, now=time.time())
    assert json.loads(body)["type"] == "handoff.created"
    assert json.loads(body)["data"] == {"key": "one"}
    assert headers["content-type"] == "application/json"


async def test_a_receiver_that_is_down_gets_it_when_it_is_up(
    webhooks: Webhooks, outbox: Outbox, database: Database, clock: Clock
) -> None:
    with receiving() as receiver:
        port = receiver.port
    add(webhooks, f"http://127.0.0.1:{port}/hooks")
    happen(database, outbox)
    first = await send(outbox)
    assert (first.state, first.attempts[0].status) == ("pending", None)
    assert "can't be reached" in first.attempts[0].error
    clock.advance(seconds=10)
    with receiving(port=port) as receiver:
        assert (await send(outbox)).state == "delivered"
    assert receiver.ids == [first.id]


async def test_a_receiver_that_fails_gets_it_again_with_the_same_id(
    webhooks: Webhooks, outbox: Outbox, database: Database, clock: Clock
) -> None:
    with receiving(lambda number: (500 if number < 3 else 200, {})) as receiver:
        add(webhooks, receiver.url)
        happen(database, outbox)
        states = []
        for _ in range(3):
            states.append((await send(outbox)).state)
            clock.advance(minutes=2)
    assert states == ["pending", "pending", "delivered"]
    assert len(set(receiver.ids)) == 1
    assert len({body for _, body in receiver.got}) == 1


async def test_a_redirect_is_not_followed(webhooks: Webhooks, outbox: Outbox, database: Database) -> None:
    with receiving() as elsewhere, receiving(lambda number: (307, {"Location": elsewhere.url})) as receiver:
        add(webhooks, receiver.url)
        happen(database, outbox)
        delivery = await send(outbox)
    assert delivery.state == "pending"
    assert "Redirects aren't followed" in delivery.attempts[0].error
    assert elsewhere.got == []


async def test_a_receiver_that_asks_for_time_gets_it(
    webhooks: Webhooks, outbox: Outbox, database: Database, clock: Clock
) -> None:
    with receiving(lambda number: (503, {"Retry-After": "900"})) as receiver:
        add(webhooks, receiver.url)
        happen(database, outbox)
        assert ((await send(outbox)).next_attempt_at - clock()).total_seconds() == 900
    clock.advance(seconds=900)
    with receiving(lambda number: (503, {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}), port=receiver.port):
        assert ((await send(outbox)).next_attempt_at - clock()).total_seconds() < 60


async def test_a_slow_receiver_is_not_waited_for_long(webhooks: Webhooks, outbox: Outbox, database: Database) -> None:
    gone = threading.Event()
    with receiving(before=lambda: gone.wait(30)) as receiver:
        add(webhooks, receiver.url)
        happen(database, outbox)
        delivery = await send(outbox, timeout_seconds=0.2)
        gone.set()
    assert "no answer within 0.2 seconds" in delivery.attempts[0].error


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://127.0.0.1/hooks", "private"),
        ("https://[::ffff:10.0.0.1]/hooks", "private"),
        ("https://169.254.169.254/latest", "metadata"),
        ("https://nowhere.invalid/hooks", "can't be resolved"),
    ],
)
async def test_nothing_is_sent_to_a_private_address(
    webhooks: Webhooks, outbox: Outbox, database: Database, url: str, reason: str
) -> None:
    webhooks.add("acme", NewWebhook(name="inside", url=url))
    happen(database, outbox)
    assert reason in (await send(outbox)).attempts[0].error


async def test_metadata_addresses_are_refused_even_where_private_ones_are_allowed() -> None:
    assert refusal(ipaddress.ip_address("169.254.169.254"), allow_private=True) is not None


async def test_a_slow_receiver_keeps_no_other_one_waiting(
    webhooks: Webhooks, outbox: Outbox, database: Database
) -> None:
    hold = threading.Event()
    with receiving(before=lambda: hold.wait(30)) as slow, receiving() as quick:
        add(webhooks, slow.url, "slow")
        add(webhooks, quick.url, "quick")
        for number in range(20):
            happen(database, outbox, f"{number}")
        running = asyncio.create_task(WebhookRunner(outbox).run())
        await asyncio.to_thread(lambda: [quick.arrived.acquire(timeout=30) for _ in range(20)])
        assert len(set(quick.ids)) == 20
        assert len(slow.got) == 1, "the messages of one webhook go one after another"
        happen(database, outbox, "later")  # The runner is told.
        assert await asyncio.to_thread(quick.arrived.acquire, timeout=30)
        hold.set()
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.process
async def test_a_message_survives_the_process_that_was_sending_it(
    webhooks: Webhooks, outbox: Outbox, database: Database, clock: Clock, tmp_path: Path
) -> None:
    hold = threading.Event()
    with receiving(before=lambda: hold.wait(30)) as receiver:
        add(webhooks, receiver.url)
        happen(database, outbox)
        program = Path(__file__).with_name("sending_program.py")
        process = subprocess.Popen(
            [sys.executable, str(program), str(database.url), str(tmp_path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert await asyncio.to_thread(receiver.arrived.acquire, timeout=60)
        process.send_signal(signal.SIGKILL)
        process.wait()
        hold.set()
        clock.now = outbox.deliveries("acme")[0].next_attempt_at  # When its claim has ended.
        delivery = await send(outbox)
    assert delivery.state == "delivered"
    assert [each.status for each in delivery.attempts] == [None, 200]
    assert "stopped before" in delivery.attempts[0].error
    assert receiver.ids == [delivery.id] * 2, "the receiver knows it by its id"
