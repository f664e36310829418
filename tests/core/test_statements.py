"""Statements for the driver do what they say on both kinds of databases, and fail as all others do."""

import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Table, bindparam, select
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from llmos.core.database import Database
from llmos.core.ids import new_id
from llmos.core.statements import PlainTransaction, Statement, insert_into
from llmos.security.receipts.tables import ReceiptRow

_TABLE = cast(Table, ReceiptRow.__table__)
ADD = Statement(lambda dialect: insert_into(dialect, _TABLE))
ADD_RETURNING = Statement(lambda dialect: insert_into(dialect, _TABLE).returning(ReceiptRow.id))
FIND = Statement(lambda _: select(ReceiptRow.id, ReceiptRow.at).where(ReceiptRow.project == bindparam("project")))


def row(id: str, **changed: Any) -> dict[str, Any]:
    return {"id": id, "request_id": "req-1", "project": "acme", "at": 7, "document": "{}"} | changed


def found(database: Database) -> list[tuple[Any, ...]]:
    with database.session() as session:
        return sorted(PlainTransaction.of(session).rows(FIND, project="acme"))


def test_rows_are_stored_and_found(database: Database) -> None:
    with database.plain_counting() as transaction:
        transaction.run(ADD, [row("a"), row("b", project="other")])
        assert transaction.run_returning(ADD_RETURNING, [row("c"), row("d", at=8)]) == [("c",), ("d",)]
        transaction.run(ADD, [])
    assert found(database) == [("a", 7), ("c", 7), ("d", 8)]


def add(database: Database, *rows: dict[str, Any]) -> None:
    with database.plain_counting() as transaction:
        for each in rows:
            transaction.run(ADD, [each])


def run(database: Database, sql: str) -> None:
    with database.plain_counting() as transaction:
        transaction.run_sql(sql)


def test_an_error_takes_all_back_and_is_one_of_sqlalchemy(database: Database) -> None:
    with pytest.raises(IntegrityError):
        add(database, row("a"), row("b", project=None))
    with pytest.raises((OperationalError, ProgrammingError)):
        run(database, "SELECT nothing FROM nowhere")
    assert found(database) == []


def test_a_statement_of_a_session_is_part_of_its_transaction(database: Database) -> None:
    with suppress(KeyError), database.counting() as session:
        PlainTransaction.of(session).run(ADD, [row("a")])
        raise KeyError
    assert found(database) == []


def test_a_session_has_one_that_sees_what_was_added_before(database: Database) -> None:
    with database.counting() as session:
        session.add(ReceiptRow(**row("a")))
        first = PlainTransaction.of(session)
        assert first.rows(FIND, project="acme") == [("a", 7)]
        session.add(ReceiptRow(**row("b")))
        assert PlainTransaction.of(session) is first
        assert sorted(first.rows(FIND, project="acme")) == [("a", 7), ("b", 7)]
    assert found(database) == [("a", 7), ("b", 7)]


def test_changes_of_a_session_and_statements_of_the_driver_are_one_transaction(database: Database) -> None:
    with database.counting(is_durable=True) as session:
        PlainTransaction.of(session).run(ADD, [row("a")])
        assert session.scalars(select(ReceiptRow.id)).all() == ["a"]
        session.add(ReceiptRow(**row("b")))  # Nothing flushes it but the end.
    with suppress(KeyError), database.counting() as session:
        session.add(ReceiptRow(**row("c")))
        PlainTransaction.of(session).run(ADD, [row("d")])
        raise KeyError
    with pytest.raises(IntegrityError):
        add_both_ways(database, row("e"), row("f", project=None))
    assert found(database) == [("a", 7), ("b", 7)]


def add_both_ways(database: Database, by_driver: dict[str, Any], by_session: dict[str, Any]) -> None:
    with database.counting() as session:
        PlainTransaction.of(session).run(ADD, [by_driver])
        session.add(ReceiptRow(**by_session))


def test_counts_of_sqlite_share_a_connection_and_wait_for_the_disk_only_where_they_are_durable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'llmos.db'}")
    database.upgrade()
    with database.counting() as session:
        connection = session.connection().connection.dbapi_connection
        # Tests never wait for the disk; this connection does as one of users.
        session.connection().connection.info["llmos_synchronous"] = 2
    levels = []
    for is_durable in (True, False, False, True):
        with database.counting(is_durable=is_durable) as session:
            assert session.connection().connection.dbapi_connection is connection
            levels.append(session.connection().exec_driver_sql("PRAGMA synchronous").scalar())
    database.close()
    assert levels[1:] == [1, 1, 2]
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_a_connection_whose_transaction_failed_counts_again(database: Database) -> None:
    for _ in range(2):
        with pytest.raises(IntegrityError):
            add(database, row("a"), row("b", project=None))
        add(database, row(new_id("receipt")))
    assert len(found(database)) == 2


def test_a_session_that_counts_waits_for_others_and_sees_what_they_have_done(database: Database) -> None:
    began, results = threading.Event(), []

    def add_another() -> None:
        began.set()
        with database.counting(is_durable=True) as session:
            results.extend(PlainTransaction.of(session).rows(FIND, project="acme"))

    with database.counting(is_durable=True) as session:
        other = threading.Thread(target=add_another)
        other.start()
        began.wait()
        PlainTransaction.of(session).run(ADD, [row("a")])
    other.join()
    assert results == [("a", 7)]
