"""Verification: every edit, deletion, insertion, other order and cut tail is found, and the first bad entry named."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from llmos.core.canonical import canonical
from llmos.core.database import Database
from llmos.core.schemas.audit import AuditVerification
from llmos.security.audit import queries
from llmos.security.audit.audit import Audit
from llmos.security.audit.entries import NO_HASH, Event, hash_of, read_line
from llmos.security.audit.verification import verify
from llmos.security.signing_key import SigningKey
from support.examples import examples

NUM_ENTRIES = 12

FIELDS = (
    "format", "number", "previous", "time", "action", "outcome", "project", "key", "user", "object", "address",
    "request_id", "error", "details", "count",
)  # fmt: skip
COLUMNS = ("time", "action", "actor", "project", "body", "hash")

numbers = st.integers(1, NUM_ENTRIES)
same_database = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(40))


@pytest.fixture
def filled(audit: Audit) -> Audit:
    """A log with entries of every shape, and a checkpoint of the last one."""
    events = [
        Event(
            action=f"key.{verb}",
            outcome="failed" if error else "succeeded",
            project="owner",
            key="" if i % 3 == 0 else f"key-{i}",
            user="alice" if i % 3 == 0 else "",
            object=f"Schlüssel {i}",
            address="192.0.2.1",
            request_id=f"req-{i}",
            error=error,
            details={"role": "viewer", "number": i, "forced": bool(i % 2)},
        )
        for i, (verb, error) in enumerate([("create", ""), ("revoke", "not_found")] * (NUM_ENTRIES // 2))
    ]
    for event in events:
        audit.log.record([event])
    return audit


@dataclass
class Attacker:
    """Somebody with every right on the database, but without the signing key. What they do is undone afterwards."""

    session: Session
    signing_key: SigningKey
    signed: Sequence[dict[str, Any]]
    """The checkpoint that was kept elsewhere."""
    checkpoints: Sequence[dict[str, Any]]
    """Those that the verification gets."""

    def run(self, statement: str, **values: Any) -> None:
        self.session.execute(text(statement), values)

    def rows(self) -> list[dict[str, Any]]:
        found = self.session.execute(text("SELECT * FROM audit_entries ORDER BY number")).mappings()
        return [dict(row) for row in found]

    def insert(self, row: dict[str, Any]) -> None:
        self.run("INSERT INTO audit_entries VALUES (:number, :time, :action, :actor, :project, :body, :hash)", **row)

    def put(self, rows: Sequence[dict[str, Any]]) -> None:
        """Replace the whole log."""
        self.run("DELETE FROM audit_entries")
        for row in rows:
            self.insert(row)

    def found(self) -> AuditVerification:
        self.session.expunge_all()
        return verify(queries.all_entries(self.session), self.checkpoints, [self.signing_key.public])


@pytest.fixture
def attack(filled: Audit, database: Database, signing_key: SigningKey) -> Callable[[], Any]:
    """Opens a transaction in which the triggers are gone, and rolls it back."""
    checkpoint = filled.checkpoints.make()
    assert checkpoint is not None
    checkpoints = [msgspec.to_builtins(checkpoint)]

    class Attack:
        def __init__(self, *, with_checkpoint: bool = False) -> None:
            self._given = checkpoints if with_checkpoint else []

        def __enter__(self) -> Attacker:
            self._session = Session(database._writing)
            self._session.begin()
            for trigger in ("no_update", "no_delete", "no_gap") if database.is_sqlite else ("no_change", "no_gap"):
                where = "" if database.is_sqlite else " ON audit_entries"
                self._session.execute(text(f"DROP TRIGGER audit_entries_{trigger}{where}"))
            return Attacker(self._session, signing_key, checkpoints, self._given)

        def __exit__(self, *_: object) -> None:
            self._session.rollback()
            self._session.close()

    return Attack


def test_an_untouched_log_is_intact(attack: Any) -> None:
    with attack(with_checkpoint=True) as attacker:
        found = attacker.found()
    assert (found.is_intact, found.num_entries, found.covered, found.first_bad) == (
        True,
        NUM_ENTRIES,
        NUM_ENTRIES,
        None,
    )


@given(number=numbers, field=st.sampled_from(FIELDS), value=st.one_of(st.text(max_size=8), st.integers(-5, 99)))
@same_database
def test_an_edit_of_any_field_of_any_entry_is_found(attack: Any, number: int, field: str, value: Any) -> None:
    with attack() as attacker:
        row = attacker.rows()[number - 1]
        fields = json.loads(row["body"])
        if fields[field] == value:
            return
        body = canonical({**fields, field: value}).decode()
        attacker.run("UPDATE audit_entries SET body = :body WHERE number = :number", body=body, number=number)
        assert attacker.found().first_bad == number
        # Even with the hash that belongs to it: the next entry isn't chained to it, or the checkpoint tells.
        hash = hash_of(body.encode())
        attacker.run("UPDATE audit_entries SET hash = :hash WHERE number = :number", hash=hash, number=number)
        attacker.checkpoints = [] if number < NUM_ENTRIES else attacker.signed
        assert attacker.found().first_bad in (number, number + 1)


@given(
    number=numbers,
    column=st.sampled_from(COLUMNS),
    value=st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=8),
)
@same_database
def test_an_edit_of_any_column_is_found(attack: Any, number: int, column: str, value: str) -> None:
    with attack() as attacker:
        if attacker.rows()[number - 1][column] == value:
            return
        attacker.run(f"UPDATE audit_entries SET {column} = :value WHERE number = :number", value=value, number=number)
        assert attacker.found().first_bad == number


@given(number=st.integers(1, NUM_ENTRIES - 1), count=st.integers(1, 3))
@same_database
def test_a_deletion_is_found(attack: Any, number: int, count: int) -> None:
    last = min(number + count, NUM_ENTRIES) - 1
    with attack() as attacker:
        attacker.run("DELETE FROM audit_entries WHERE number BETWEEN :first AND :last", first=number, last=last)
        assert attacker.found().first_bad == number
        # Also if the others move up.
        rest = [{**row, "number": i} for i, row in enumerate(attacker.rows(), 1)]
        attacker.put(rest)
        assert attacker.found().first_bad == number


@given(one=numbers, other=numbers)
@same_database
def test_another_order_is_found(attack: Any, one: int, other: int) -> None:
    if one == other:
        return
    with attack() as attacker:
        rows = attacker.rows()
        rows[one - 1], rows[other - 1] = rows[other - 1], rows[one - 1]
        attacker.put([{**row, "number": i} for i, row in enumerate(rows, 1)])
        assert attacker.found().first_bad == min(one, other)


@given(before=numbers, copied=numbers)
@same_database
def test_an_insertion_is_found(attack: Any, before: int, copied: int) -> None:
    with attack() as attacker:
        rows = attacker.rows()
        rows.insert(before - 1, rows[copied - 1])
        attacker.put([{**row, "number": i} for i, row in enumerate(rows, 1)])
        first_bad = attacker.found().first_bad
        # An entry that is put before itself is in its place; the second one isn't.
        assert first_bad == (before + 1 if copied == before else before)


@given(last=st.integers(0, NUM_ENTRIES - 1))
@same_database
def test_a_cut_tail_is_found_with_a_checkpoint(attack: Any, last: int) -> None:
    with attack(with_checkpoint=True) as attacker:
        attacker.run("DELETE FROM audit_entries WHERE number > :last", last=last)
        found = attacker.found()
        assert (found.is_intact, found.first_bad, found.num_entries) == (False, last + 1, last)
    with attack() as attacker:  # Without one, the rest looks whole.
        attacker.run("DELETE FROM audit_entries WHERE number > :last", last=last)
        assert attacker.found().is_intact


@given(number=numbers)
@same_database
def test_hashes_that_were_computed_again_are_found_with_a_checkpoint(attack: Any, number: int) -> None:
    with attack(with_checkpoint=True) as attacker:
        attacker.put(list(rechained(attacker.rows(), number, key="key-mallory")))
        found = attacker.found()
        assert not found.is_intact
        assert found.problem is not None
        assert "the hashes were computed again" in found.problem
        attacker.checkpoints = []
        assert attacker.found().is_intact


def rechained(rows: Sequence[dict[str, Any]], number: int, **changes: Any) -> Iterator[dict[str, Any]]:
    """Yield the log with one entry changed, and every hash right."""
    previous = NO_HASH
    for row in rows:
        fields = json.loads(row["body"]) | {"previous": previous} | (changes if row["number"] == number else {})
        body = canonical(fields).decode()
        previous = hash_of(body.encode())
        yield {**row, "body": body, "hash": previous, "actor": fields["key"] or fields["user"]}


@given(field=st.sampled_from(("number", "hash", "time", "type")), value=st.sampled_from(["0" * 64, 3, "x", None]))
@same_database
def test_a_forged_checkpoint_is_no_checkpoint(attack: Any, field: str, value: Any) -> None:
    with attack(with_checkpoint=True) as attacker:
        attacker.checkpoints = [{**attacker.checkpoints[0], field: value}]
        found = attacker.found()
    assert (found.is_intact, found.num_checkpoints) == (False, 0)
    assert found.problem is not None
    assert "invalid signature" in found.problem


def test_a_checkpoint_by_an_unknown_key_vouches_for_nothing(attack: Any, tmp_path: Path) -> None:
    other = SigningKey(tmp_path / "other")
    with attack(with_checkpoint=True) as attacker:
        signed = {name: value for name, value in attacker.checkpoints[0].items() if name not in ("key", "signature")}
        attacker.checkpoints = [other.sign(signed)]
        found = attacker.found()
    assert (found.is_intact, found.num_checkpoints, found.unknown_keys) == (True, 0, [other.public.id])


def test_an_export_is_verified_without_the_database(filled: Audit, signing_key: SigningKey) -> None:
    lines = list(filled.log.export())
    entries = [read_line(line) for line in lines]
    assert verify(entries, [], []).is_intact
    entries[4] = replace(entries[4], body=entries[4].body.replace("key-4", "key-9"))
    assert verify(entries, [], []).first_bad == 5
