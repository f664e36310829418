"""The key ring and rotation: nothing is lost at any step, and what is destroyed is gone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.masters import Masters, MasterSettings
from llmos.core.encryption.ring import KeyRing
from llmos.core.errors import BadRequest, NotFound, StoreFailed


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Open = Callable[..., Encryption]


@pytest.fixture
def reopen(database: Database, tmp_path: Path, clock: Clock) -> Open:
    """Opens what a process opens: nothing is shared but the disk. On PostgreSQL, the ring is in the database."""

    def reopen(**settings: str) -> Encryption:
        ring = Database(f"sqlite:///{tmp_path / 'keys' / 'ring.db'}") if database.is_sqlite else database
        masters = Masters(MasterSettings(path=tmp_path / "keys" / "master", **settings))
        encryption = Encryption(database, KeyRing(ring, masters, clock=clock), clock=clock)
        encryption.start()
        return encryption

    return reopen


def keep(encryption: Encryption, id: str, project: str = "acme", *subjects: str) -> bytes:
    """Keep the key of an object, and return the sealed object."""
    key = encryption.new_key(id)
    row = encryption.wrap(key, project, subjects=subjects)
    with encryption._database.transaction() as session:
        session.add(row)
    return key.seal(id.encode())


def opens(encryption: Encryption, sealed: dict[str, bytes]) -> bool:
    found = {id: encryption.find_key(id) for id in sealed}
    return all(key is not None and key.open(sealed[id]) == id.encode() for id, key in found.items())


def test_another_process_opens_what_one_has_sealed(reopen: Open, tmp_path: Path) -> None:
    encryption = reopen()
    sealed = {"a": keep(encryption, "a"), "b": keep(encryption, "b", "acme", "ann")}
    assert opens(reopen(), sealed)
    assert (tmp_path / "keys" / "master").stat().st_mode & 0o777 == 0o600
    if encryption.ring._database.is_sqlite:
        assert (tmp_path / "keys" / "ring.db").stat().st_mode & 0o777 == 0o600


def test_what_is_sealed_for_one_object_does_not_open_for_another(reopen: Open) -> None:
    encryption = reopen()
    sealed = keep(encryption, "a")
    keep(encryption, "b")
    other = encryption.find_key("b")
    assert other is not None
    with pytest.raises(StoreFailed, match="b was modified"):
        other.open(sealed)


def test_a_data_key_that_was_moved_to_another_object_or_project_does_not_open(reopen: Open) -> None:
    from llmos.core.encryption.tables import ObjectKeyRow

    encryption = reopen()
    keep(encryption, "a")
    keep(encryption, "b")
    with encryption._database.transaction() as session:
        one, other = session.get(ObjectKeyRow, "a"), session.get(ObjectKeyRow, "b")
        assert one is not None
        assert other is not None
        other.wrapped = one.wrapped
    with pytest.raises(StoreFailed, match="b was modified"):
        encryption.find_key("b")


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", ["next", "find", "finish"])
def test_a_crash_at_any_step_of_a_rotation_of_the_master_key_loses_nothing(
    reopen: Open, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    encryption = reopen()
    sealed = {id: keep(encryption, id, project) for id, project in (("a", "acme"), ("b", "other"))}
    before = encryption.ring.master_id()

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(Masters, step, crash)
        with pytest.raises(Crash):
            encryption.ring.rotate_master()
    again = reopen()
    assert opens(again, sealed)
    sealed["c"] = keep(again, "c", "third")
    again.ring.rotate_master()
    assert again.ring.master_id() != before
    assert opens(reopen(), sealed)


def test_the_old_master_key_opens_nothing_after_a_rotation(reopen: Open, tmp_path: Path) -> None:
    encryption = reopen()
    sealed = {"a": keep(encryption, "a")}
    old = (tmp_path / "keys" / "master").read_text()
    rotated = encryption.ring.rotate_master()
    assert opens(encryption, sealed)
    assert not (tmp_path / "keys" / "master.next").exists()
    (tmp_path / "keys" / "master").write_text(old)
    with pytest.raises(StoreFailed, match=rf"The master key {rotated} is needed .* another key .*encryption discard"):
        reopen()


def test_a_running_server_goes_on_while_another_process_rotates(reopen: Open, clock: Clock) -> None:
    server, operator = reopen(), reopen()
    sealed = {"a": keep(server, "a")}
    operator.ring.rotate_master()
    operator.rotate_project("acme")
    for id in ("b", "c"):
        sealed[id] = keep(server, id, "acme" if id == "b" else "new")
    assert opens(server, sealed)
    assert opens(reopen(), sealed)


@pytest.mark.parametrize("step", ["rewrap_subjects", "destroy_replaced"])
def test_a_crash_at_any_step_of_the_rotation_of_a_project_loses_nothing(
    reopen: Open, monkeypatch: pytest.MonkeyPatch, clock: Clock, step: str
) -> None:
    encryption = reopen()
    sealed = {f"{i}": keep(encryption, f"{i}", "acme", *["ann"] * (i % 2)) for i in range(6)}

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(KeyRing, step, crash)
        with pytest.raises(Crash):
            encryption.rotate_project("acme")
    again = reopen()
    assert opens(again, sealed)
    clock.now += timedelta(hours=2)
    again.finish_rotation("acme")
    assert opens(reopen(), sealed)
    assert again.ring.counts() == {"index": 1, "project": 1, "subject": 1}


def test_a_replaced_key_stays_an_hour_for_what_another_process_has_just_wrapped(reopen: Open, clock: Clock) -> None:
    server, operator = reopen(), reopen()
    key = server.new_key("late")
    late = server.wrap(key, "acme")
    operator.rotate_project("acme")
    with server._database.transaction() as session:
        session.add(late)
    assert opens(reopen(), {"late": key.seal(b"late")})
    clock.now += timedelta(hours=2)
    assert operator.finish_rotation("acme") == 1
    assert opens(reopen(), {"late": key.seal(b"late")})
    assert operator.ring.counts()["project"] == 1


def test_rotation_writes_no_data_again(reopen: Open) -> None:
    encryption = reopen()
    sealed = {"a": keep(encryption, "a")}
    assert encryption.rotate_project("acme") == 1
    assert opens(encryption, sealed), "the same bytes open"


def test_the_objects_of_a_destroyed_person_cannot_be_read_and_all_others_can(reopen: Open) -> None:
    encryption = reopen()
    sealed = {id: keep(encryption, id, "acme", id) for id in ("ann", "bob")} | {"rest": keep(encryption, "rest")}
    sealed["both"] = keep(encryption, "both", "acme", "bob", "ann")
    other = reopen()
    assert opens(other, sealed), "another process has seen the keys"
    encryption.ring.destroy_subject("acme", "ann")
    for id in ("ann", "both"):
        with pytest.raises(NotFound, match=rf"{id} was erased: the key .* is destroyed"):
            other.find_key(id)
        del sealed[id]
    assert opens(other, sealed)


def test_too_many_persons_in_one_object_are_refused(reopen: Open) -> None:
    with pytest.raises(BadRequest, match="data of 17 persons; at most 16"):
        keep(reopen(), "a", "acme", *(f"{i}" for i in range(17)))


def test_a_destroyed_project_is_gone(reopen: Open) -> None:
    encryption = reopen()
    sealed = {id: keep(encryption, id, id) for id in ("acme", "other")}
    encryption.ring.destroy_project("acme")
    with pytest.raises(NotFound, match="erased"):
        reopen().find_key("acme")
    assert opens(reopen(), {"other": sealed["other"]})


def test_a_lost_master_key_is_named_with_what_to_do(reopen: Open, tmp_path: Path) -> None:
    keep(reopen(), "a")
    (tmp_path / "keys" / "master").unlink()
    with pytest.raises(StoreFailed, match=r"master is missing\. Restore the right one .*llmos encryption discard"):
        reopen()
    assert not (tmp_path / "keys" / "master").exists(), "no new key takes its place"


def test_a_lost_key_ring_is_named_with_what_to_do(reopen: Open, tmp_path: Path, database: Database) -> None:
    encryption = reopen()
    keep(encryption, "a")
    encryption.ring.discard_all()
    with pytest.raises(StoreFailed, match=r"The key ring .* is missing.*Restore it .*llmos encryption discard"):
        reopen()


def test_a_modified_key_ring_opens_nothing(reopen: Open) -> None:
    from llmos.core.encryption.tables import RingKeyRow

    encryption = reopen()
    keep(encryption, "a", "acme")
    keep(encryption, "b", "other")
    with encryption.ring._database.transaction() as session:
        rows = {row.project: row for row in session.query(RingKeyRow) if row.kind == "project"}
        rows["acme"].wrapped = rows["other"].wrapped
    with pytest.raises(StoreFailed, match="in the key ring was modified"):
        reopen().find_key("a")


def test_two_processes_that_start_at_once_agree_on_one_master_key(reopen: Open) -> None:
    one, other = reopen(), reopen()
    sealed = {"a": keep(one, "a"), "b": keep(other, "b")}
    assert opens(one, sealed)
    assert opens(other, sealed)


def test_the_index_names_persons_and_contents_apart_and_stays_after_rotations(reopen: Open) -> None:
    encryption = reopen()
    names = {
        encryption.ring.index(kind, project, value)
        for kind in ("subject", "content")
        for project in ("acme", "other")
        for value in ("ann", "bob")
    }
    assert len(names) == 8
    before = encryption.ring.index("subject", "acme", "ann")
    encryption.ring.rotate_master()
    encryption.rotate_project("acme")
    assert reopen().ring.index("subject", "acme", "ann") == before
