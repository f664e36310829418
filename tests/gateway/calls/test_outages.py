"""The database is gone for a while: answers go on, new calls are refused, nothing is lost and nothing is doubled."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest
from sqlalchemy.engine import make_url

from llmos.gateway.services import Services
from support.fake_backend import Reached
from support.looking import pause
from support.metered_calls import CHAT, PATH, entries
from support.scripted import FakePool

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def database_kind() -> str:
    """A file isn't gone; see tests/billing for one that is locked, and for a full disk."""
    return "postgresql"


@contextmanager
def gone(url: str) -> Iterator[None]:
    """End all connections to a database, and let nobody connect."""
    place = make_url(url)
    dsn = place.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(dsn, autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{place.database}" ALLOW_CONNECTIONS false')
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [place.database])
        try:
            yield
        finally:
            server.execute(f'ALTER DATABASE "{place.database}" ALLOW_CONNECTIONS true')


@pytest.mark.process
async def test_answers_go_on_while_the_database_is_gone_and_are_in_the_ledger_when_it_is_back(
    http: httpx.AsyncClient, services: Services, pool: FakePool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.billing.ledger_writer, "_retry_seconds", 0.05)
    assert (await http.post(PATH, json=CHAT)).status_code == 200
    services.answer_sink.flush()
    reached, goes_on = Reached(), asyncio.Event()
    pool.enqueue("Hel", reached, goes_on, "lo")
    running = asyncio.create_task(http.post(PATH, json=CHAT | {"stream": True}))
    await reached.told()
    with gone(database_url):
        goes_on.set()
        answer = await running
        assert (answer.status_code, answer.text.endswith("data: [DONE]\n\n")) == (200, True)
        assert services.billing.ledger_writer.has_set_aside
        num_answered = 0
        while (refused := await http.post(PATH, json=CHAT)).status_code == 200:
            num_answered += 1  # The server hasn't seen yet that the connections have ended.
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable"), refused.text
        assert "database server can't be reached" in refused.json()["error"]["message"]
        assert refused.headers["retry-after"] == "2"
    while services.billing.ledger_writer.has_set_aside:
        await pause()
    assert (await http.post(PATH, json=CHAT)).status_code == 200
    rows = entries(services)
    assert [(row.outcome, row.output_tokens) for row in rows] == [("answered", 3)] * (num_answered + 3)
    assert len({row.call_id for row in rows}) == len(rows)
