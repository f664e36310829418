"""Two gateways on one database, SQLite or PostgreSQL, answer no more calls than one would."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from llmos.core.database import Database
from llmos.gateway.app import create_app
from llmos.gateway.calls.limits_hold import LimitsHold
from llmos.gateway.calls.stages import Stages
from llmos.gateway.services import Services
from llmos.security.keys import Keys, NewKey
from llmos.security.limit_counts import LimitCounts
from llmos.security.limits import Limits
from support.databases import KINDS
from support.looking import pause
from support.pipelines import with_parts
from support.scripted import FakePool

pytestmark = pytest.mark.anyio

CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(scope="module", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def second(services: Services, database_url: str) -> Iterator[Services]:
    """The services of another gateway on the same database, with connections of its own."""
    database = Database(database_url)
    limits = LimitsHold(LimitCounts(database))
    changed = replace(services, keys=Keys(database, services.keys.pepper), limits=limits)
    yield with_parts(changed, stages=Stages(holds=(limits,)))
    database.close()


def client_of(services: Services, text: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://llmos", headers={"x-api-key": text})


@pytest.mark.thorough
async def test_of_200_requests_to_two_gateways_exactly_10_are_answered(
    services: Services, second: Services, pool: FakePool
) -> None:
    limits = Limits(requests_per_minute=10, concurrent_requests=10)
    key, text = services.keys.create(NewKey(limits=limits))
    pool.gate = asyncio.Event()  # No call ends before all have asked.
    async with client_of(services, text) as one, client_of(second, text) as other:
        asked = [
            asyncio.create_task(client.post("/v1/chat/completions", json=CHAT))
            for _ in range(100)
            for client in (one, other)
        ]
        while sum(task.done() for task in asked) < 190:
            await pause()
        pool.gate.set()
        replies = await asyncio.gather(*asked)
        assert sorted(reply.status_code for reply in replies) == [200] * 10 + [429] * 190
        assert len(pool.requests) == 10
        await services.limits.finish()
        await second.limits.finish()
        services.keys.set_limits(key.id, Limits(concurrent_requests=1))
        assert (await one.post("/v1/chat/completions", json=CHAT)).status_code == 200, "all have given back"
        await services.limits.finish()
