"""Calls are held against budgets before any work, and answers end at the token that these pay for."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from llmos.billing.budgets import Budgets, BudgetSettings, BudgetSource
from llmos.billing.ledger import Ledger
from llmos.billing.ledger_writer import LedgerWriter
from llmos.billing.limit_book import LimitBook
from llmos.billing.reservation_writer import ReservationWriter
from llmos.billing.reservations import Reservations
from llmos.core.database import Database
from llmos.gateway.app import create_app
from llmos.gateway.calls.ledger_stages import LedgerStages
from llmos.gateway.calls.stages import Stages
from llmos.gateway.services import Services
from support.databases import KINDS
from support.looking import pause
from support.pipelines import with_parts
from support.scripted import KEY, FakePool

pytestmark = pytest.mark.anyio

CHAT: dict[str, Any] = {"model": "dialogue", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}
COMPLETION = {"model": "dialogue", "prompt": "Hi", "max_tokens": 9}


@pytest.fixture(scope="module", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def second(services: Services, database_url: str) -> Iterator[Services]:
    """The services of another gateway on the same database, with connections of its own."""
    database = Database(database_url)
    book = LimitBook(database, [BudgetSource()])
    held = Reservations(book)
    folder = services.settings.ledger_spill_path
    writer = LedgerWriter(ledger := Ledger(database, held), folder)
    reservations = ReservationWriter(database, held, ledger, writer, folder)
    metering = LedgerStages(writer, reservations)
    changed = replace(
        services, billing=replace(services.billing, ledger=ledger, ledger_writer=writer, reservations=reservations)
    )
    stages = Stages(holds=(metering.hold,), filters=(metering.filter,))
    yield with_parts(changed, stages=stages, limits=(book, reservations))
    writer.close()
    reservations.close()
    database.close()


def client_of(services: Services) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://llmos", headers={"x-api-key": KEY})


def settle(*gateways: Services) -> None:
    for each in gateways:
        each.billing.ledger_writer.flush()
        each.billing.reservations.flush()


async def test_of_200_calls_on_a_budget_that_pays_for_10_exactly_10_are_answered(
    services: Services, second: Services, pool: FakePool
) -> None:
    """On two gateways, two wire formats, plain and streamed."""
    budgets: Budgets = services.billing.budgets
    budgets.set("ten", BudgetSettings(unit="requests", limit="10", per="day"))
    pool.gate = asyncio.Event()  # No call ends before all have asked.
    async with client_of(services) as one, client_of(second) as other:
        ways = [
            (one, "/v1/chat/completions", CHAT),
            (other, "/v1/messages", CHAT),
            (one, "/v1/completions", COMPLETION),
            (other, "/v1/chat/completions", CHAT | {"stream": True}),
        ]
        asked = [asyncio.create_task(client.post(path, json=body)) for _ in range(50) for client, path, body in ways]
        while sum(task.done() for task in asked) < 190:
            await pause()
        pool.gate.set()
        replies = await asyncio.gather(*asked)
    assert sorted(reply.status_code for reply in replies) == [200] * 10 + [429] * 190
    assert len(pool.requests) == 10
    settle(services, second)
    found = budgets.get("ten")
    assert (found.spent, found.reserved, found.left) == ("10", "0", "0")
