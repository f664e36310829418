"""Stored responses: for one tenant, for thirty days."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.errors import NotFound, StoreFailed
from llmos.data.responses import KeptResponse, KeptResponses
from support.encryption import open_test_encryption

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
def encryption(database: Database, tmp_path: Path) -> Encryption:
    return open_test_encryption(database, tmp_path)


@pytest.fixture
def responses(database: Database, encryption: Encryption, clock: HeldClock) -> KeptResponses:
    return KeptResponses(database, encryption, clock=clock)


def kept(id: str = "resp_1") -> KeptResponse:
    return KeptResponse(id=id, body=HARD, items="[]")


def test_a_stored_response_is_returned_unchanged(responses: KeptResponses) -> None:
    responses.keep("owner", kept())
    assert responses.get("owner", "resp_1") == kept()


def test_those_of_some_that_a_tenant_has_and_that_can_be_read_are_found(
    responses: KeptResponses, database: Database
) -> None:
    for id in ("resp_1", "resp_2", "broken"):
        responses.keep("owner", kept(id))
    responses.keep("acme", kept("resp_3"))
    with database.transaction() as session:
        session.execute(text("UPDATE responses SET sealed = :sealed WHERE id = 'broken'"), {"sealed": b"x" * 64})
    found = responses.find("owner", ["resp_2", "resp_3", "broken", "unknown", "resp_1"])
    assert found == {"resp_1": kept("resp_1"), "resp_2": kept("resp_2")}


def test_nothing_of_a_stored_response_can_be_read_in_the_database(responses: KeptResponses, database: Database) -> None:
    responses.keep("owner", KeptResponse(id="resp_1", body='"a marker"', items='["a marker"]'))
    with database.session() as session:
        for table in ("responses", "object_keys"):
            (row,) = session.execute(text(f"SELECT * FROM {table}")).all()
            kept = b"\n".join(each if isinstance(each, bytes) else str(each).encode() for each in row)
            assert b"marker" not in kept


def test_a_response_that_was_modified_in_the_database_is_not_returned(
    responses: KeptResponses, database: Database
) -> None:
    for id in ("resp_1", "resp_2"):
        responses.keep("owner", kept(id))
    with database.transaction() as session:
        session.execute(
            text("UPDATE responses SET sealed = (SELECT sealed FROM responses WHERE id = 'resp_2') WHERE id = 'resp_1'")
        )
    with pytest.raises(StoreFailed, match="resp_1 was modified"):
        responses.get("owner", "resp_1")
    assert responses.get("owner", "resp_2") == kept("resp_2")


def test_the_keys_of_removed_and_expired_responses_go_with_them(
    responses: KeptResponses, database: Database, clock: HeldClock
) -> None:
    responses.keep("owner", kept("resp_1"))
    responses.keep("owner", kept("resp_2"))
    responses.remove("owner", "resp_1")
    clock.now += timedelta(days=31)
    responses.keep("owner", kept("resp_3"))
    with database.session() as session:
        assert session.scalars(text("SELECT object_id FROM object_keys")).all() == ["resp_3"]


def test_another_process_finds_a_stored_response(
    responses: KeptResponses, database_url: str, clock: HeldClock, tmp_path: Path
) -> None:
    responses.keep("owner", kept())
    other = Database(database_url)
    assert KeptResponses(other, open_test_encryption(other, tmp_path), clock=clock).get("owner", "resp_1") == kept()
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
