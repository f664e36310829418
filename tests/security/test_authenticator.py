"""From the key of a request to its Caller: what is remembered, for how long, and what is said of a key that fails."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from llmos.core.database import Database
from llmos.core.errors import LLMOSError, PermissionDenied, Unauthenticated
from llmos.security.auth import OwnerKey
from llmos.security.authenticator import REREAD_SECONDS, Authenticator
from llmos.security.callers import owner
from llmos.security.keys import Keys, NewKey
from llmos.security.projects import Projects
from llmos.security.roles import permissions_of
from llmos.security.tokens import Pepper, new_token

OWNER_KEY = "llmos-the-owners-key"


@pytest.fixture
def authenticator(keys: Keys, clock: Any) -> Authenticator:
    return Authenticator(OwnerKey(OWNER_KEY), keys, clock=clock, monotonic=clock.monotonic)


@pytest.fixture
def elsewhere(database_url: str, keys: Keys, clock: Any) -> Iterator[Keys]:
    """The keys as another process has them."""
    database = Database(database_url)
    yield Keys(database, Pepper(keys.pepper.path), clock=clock)
    database.close()


def test_the_owners_key_needs_no_database(authenticator: Authenticator) -> None:
    assert authenticator.remembered(OWNER_KEY, None) == owner()


def test_a_key_becomes_a_caller_of_its_project(authenticator: Authenticator, keys: Keys, projects: Projects) -> None:
    projects.create("acme")
    key, token = keys.create(NewKey(project="acme", role="viewer", routes=["dialogue"]))
    assert authenticator.remembered(token, None) is None
    caller = authenticator.check(token, "127.0.0.1")
    assert (caller.project, caller.key_id, caller.models) == ("acme", key.id, {"dialogue"})
    assert caller.permissions == permissions_of("viewer", "acme")
    assert authenticator.remembered(token, None) is caller


@pytest.mark.parametrize(
    "wrong", [None, "", "wrong", "llmos_", OWNER_KEY + "x", pytest.param(new_token(), id="unknown"), "\udcff"]
)
def test_every_wrong_key_gets_the_same_answer(authenticator: Authenticator, keys: Keys, wrong: str | None) -> None:
    keys.create(NewKey())
    with pytest.raises(Unauthenticated, match="LLMOS_HOME/keys/owner"):
        authenticator.check(wrong, None)


def test_a_key_that_worked_says_why_it_does_not_any_more(authenticator: Authenticator, keys: Keys, clock: Any) -> None:
    expiring, token = keys.create(NewKey(expires_at=clock() + timedelta(hours=1)))
    authenticator.check(token, None)
    clock.advance(hours=1)
    with pytest.raises(Unauthenticated, match=f"{expiring.id} expired on 2026-11-01 01:00 UTC"):
        authenticator.check(token, None)
    rotated, old = keys.create(NewKey())
    _, new = keys.rotate(rotated.id, overlap=timedelta(minutes=5))
    assert authenticator.check(old, None) == authenticator.check(new, None)
    clock.advance(minutes=5)
    with pytest.raises(Unauthenticated, match=f"{rotated.id} was rotated"):
        authenticator.check(old, None)
    authenticator.check(new, None)


def test_a_key_that_is_revoked_in_this_process_stops_at_once(authenticator: Authenticator, keys: Keys) -> None:
    key, token = keys.create(NewKey())
    authenticator.check(token, None)
    keys.revoke(key.id)
    assert authenticator.remembered(token, None) is None
    with pytest.raises(Unauthenticated, match=f"{key.id} was revoked"):
        authenticator.check(token, None)


def test_a_key_that_another_process_revokes_stops_within_the_time_promised(
    authenticator: Authenticator, keys: Keys, elsewhere: Keys, clock: Any
) -> None:
    key, token = keys.create(NewKey())
    authenticator.check(token, None)
    elsewhere.revoke(key.id)
    clock.advance(seconds=REREAD_SECONDS)
    refusal: LLMOSError | None = None
    # On PostgreSQL the notification is on its way; the state changes when it has arrived.
    while refusal is None:
        try:
            authenticator.check(token, None)
        except Unauthenticated as error:
            refusal = error
    assert "was revoked" in refusal.message


def test_requests_with_a_known_key_ask_no_database(
    authenticator: Authenticator, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = keys.create(NewKey())
    authenticator.check(token, None)
    authenticator.flush()
    monkeypatch.setattr(keys, "find", None)
    for _ in range(100):
        assert authenticator.remembered(token, None) is not None


@pytest.mark.parametrize(
    ("networks", "address", "may"),
    [
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["10.0.0.0/8"], "11.1.2.3", False),
        (["10.0.0.0/8", "192.0.2.7"], "192.0.2.7", True),
        (["2001:db8::/32"], "2001:db8::1", True),
        (["2001:db8::/32"], "10.1.2.3", False),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["10.0.0.0/8"], None, False),
        (["10.0.0.0/8"], "localhost", False),
    ],
)
def test_a_key_works_from_its_addresses_only(
    authenticator: Authenticator, keys: Keys, networks: list[str], address: str | None, may: bool
) -> None:
    key, token = keys.create(NewKey(addresses=networks))
    if may:
        assert authenticator.check(token, address).key_id == key.id
        return
    with pytest.raises(PermissionDenied, match=f"{key.id} may not be used from") as refused:
        authenticator.check(token, address)
    assert networks[0] not in refused.value.message


def test_the_last_use_is_written_at_most_once_a_minute(
    authenticator: Authenticator, keys: Keys, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, token = keys.create(NewKey())
    written: list[set[str]] = []
    record_use = keys.record_use
    monkeypatch.setattr(keys, "record_use", lambda ids: (written.append(set(ids)), record_use(ids)))
    for _ in range(10):
        authenticator.check(token, None)
    authenticator.flush()
    assert written == [{key.id}]
    assert keys.get(key.id).last_used_at == clock()
    clock.advance(seconds=60)
    authenticator.check(token, None)
    authenticator.flush()
    assert len(written) == 2


def test_callers_are_served_where_the_last_use_can_not_be_written(
    authenticator: Authenticator, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = keys.create(NewKey())

    def fail(ids: set[str]) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(keys, "record_use", fail)
    caller = authenticator.check(token, None)
    authenticator.flush()
    assert authenticator.check(token, None) == caller
