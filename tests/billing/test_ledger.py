"""The ledger: entries are stored once, never changed, and add up in the sums."""

import threading

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError

from llmos.billing.ledger import Ledger
from llmos.billing.tables import LedgerRow, LedgerUserRow
from llmos.core.database import Database
from llmos.core.errors import Conflict, NotFound
from support.ledger import AT, check_sums, entry, stored


def test_an_entry_is_stored_once_however_often_it_comes(ledger: Ledger, database: Database) -> None:
    assert ledger.add([entry("a"), entry("a"), entry("a", line=1)]).num_new == 2
    assert ledger.add([entry("a"), entry("b")]).num_new == 1
    assert [(row.call_id, row.line) for row in stored(database)] == [("a", 0), ("a", 1), ("b", 0)]
    check_sums(database)


def test_the_sums_are_those_of_the_entries(ledger: Ledger, database: Database) -> None:
    entries = [
        entry(str(n), at=AT + n * 1000, project=f"p{n % 3}", user=f"u{n % 7}" if n % 7 else "", output_tokens=n)
        for n in range(500)
    ]
    ledger.add(entries)
    assert len(stored(database)) == 500
    check_sums(database)


def test_writers_at_the_same_time_store_everything_once(ledger: Ledger, database: Database) -> None:
    def write(first: int) -> None:
        for n in range(first, first + 10):
            ledger.add([entry(str(n), user=f"u{n % 4}"), entry("shared", user="u1")])

    threads = [threading.Thread(target=write, args=[n * 10]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stored(database)) == 41
    check_sums(database)


@pytest.mark.parametrize("statement", [update(LedgerRow).values(output_tokens=0), delete(LedgerRow)])
def test_no_entry_can_be_changed_or_deleted(ledger: Ledger, database: Database, statement: object) -> None:
    ledger.add([entry("a")])
    with pytest.raises(DBAPIError, match="append-only"), database.transaction() as session:
        session.execute(statement)  # type: ignore[call-overload]


def test_a_reversal_takes_an_entry_back_once(ledger: Ledger, database: Database) -> None:
    ledger.add([entry("a"), entry("b")])
    assert ledger.reverse("a").id == "a/-1"
    assert [each.line for each in ledger.entries("a")] == [0, -1]
    *_, reversal = stored(database)
    assert (reversal.reversal_of, reversal.num_calls, reversal.output_tokens) == ("a/0", -1, -3)
    check_sums(database)
    for again in (0, -1):
        with pytest.raises(Conflict, match="reversed already"):
            ledger.reverse("a", again)
    with pytest.raises(NotFound, match="no entry c/0"):
        ledger.reverse("c")
    assert len(stored(database)) == 3


def test_forgetting_a_person_leaves_the_entries_without_the_name(ledger: Ledger, database: Database) -> None:
    ledger.add([entry("a"), entry("b", user="bob"), entry("c", project="other")])
    assert sorted(ledger.projects_of("ann")) == ["acme", "other"]
    assert ledger.forget("acme", "ann") == 1
    assert ledger.forget("acme", "ann") == 0
    with database.session() as session:
        names = session.execute(select(LedgerUserRow.project, LedgerUserRow.name)).all()
    assert sorted(map(tuple, names), key=str) == [("acme", "bob"), ("acme", None), ("other", "ann")]
    assert len(stored(database)) == 3
    ledger.add([entry("d")])
    first, *_, last = stored(database)
    assert first.user_number != last.user_number, "who comes again is somebody new"
