"""Stored responses: for one tenant, for thirty days."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from llmos.core.database import Database
from llmos.core.errors import NotFound, StoreFailed
from llmos.data.responses import KeptResponse, KeptResponses

HARD = '{"text":"\\u0000 \\" 你好 👩\u200d💻"}'


class HeldClock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database for each test: expired responses are deleted for all tenants."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def responses(database: Database, clock: HeldClock) -> KeptResponses:
    return KeptResponses(database, clock=clock)


def kept(id: str = "resp_1") -> KeptResponse:
    return KeptResponse(id=id, body=HARD, items="[]")


def test_a_stored_response_is_returned_unchanged(responses: KeptResponses) -> None:
    responses.keep("owner", kept())
    assert responses.get("owner", "resp_1") == kept()


def test_another_process_finds_a_stored_response(responses: KeptResponses, database_url: str, clock: HeldClock) -> None:
    responses.keep("owner", kept())
    other = Database(database_url)
    assert KeptResponses(other, clock=clock).get("owner", "resp_1") == kept()
    other.close()


def test_another_tenant_can_neither_read_nor_remove_a_response(responses: KeptResponses) -> None:
    responses.keep("owner", kept())
    with pytest.raises(NotFound):
        responses.get("somebody", "resp_1")
    with pytest.raises(NotFound):
        responses.remove("somebody", "resp_1")
    assert responses.get("owner", "resp_1") == kept()


def test_a_removed_response_is_not_found(responses: KeptResponses) -> None:
    responses.keep("owner", kept())
    responses.remove("owner", "resp_1")
    for ask in (responses.get, responses.remove):
        with pytest.raises(NotFound, match=r"resp_1.*30 days"):
            ask("owner", "resp_1")


def test_a_response_expires_after_thirty_days(responses: KeptResponses, database: Database, clock: HeldClock) -> None:
    responses.keep("owner", kept())
    clock.now += timedelta(days=30, seconds=-1)
    assert responses.get("owner", "resp_1") == kept()
    clock.now += timedelta(seconds=1)
    with pytest.raises(NotFound):
        responses.get("owner", "resp_1")
    responses.keep("owner", kept("resp_2"))
    with database.session() as session:
        assert session.scalars(text("SELECT id FROM responses")).all() == ["resp_2"]


def test_a_failed_write_is_an_error_with_advice(responses: KeptResponses, database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("DROP TABLE responses"))
    with pytest.raises(StoreFailed, match="`store` to false"):
        responses.keep("owner", kept())
