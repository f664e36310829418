"""Actions that change nothing are recorded, too: at once the first time, and counted when it is repeated."""

import pytest

from llmos.core.actions import Action
from llmos.core.errors import NotFound, PermissionDenied
from llmos.security.audit.audit import Audit
from llmos.security.audit.entries import Event
from llmos.security.audit.tally import FIRST_WINDOW_SECONDS, MAX_KINDS, MAX_WINDOW_SECONDS, Tally
from llmos.security.keys import Keys, NewKey
from support.turned_clock import Clock


def refused(address: str = "192.0.2.1", request_id: str = "") -> Event:
    return Event(action="sign_in", outcome="refused", address=address, request_id=request_id, error="invalid_api_key")


def test_an_action_that_changes_nothing_has_an_entry_of_its_own(audit: Audit) -> None:
    with audit.recorder.acting(Action("deployment.sleep", key="key-1", object="smollm2@1")):
        pass
    audit.recorder.flush()
    (entry,) = audit.log.list()
    assert (entry.action, entry.outcome, entry.object) == ("deployment.sleep", "succeeded", "smollm2@1")


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        (PermissionDenied("No."), "refused", "permission_denied"),
        (NotFound("None."), "failed", "not_found"),
        (ZeroDivisionError(), "failed", "internal_error"),
    ],
)
def test_an_action_that_fails_is_recorded(audit: Audit, error: Exception, outcome: str, code: str) -> None:
    with pytest.raises(type(error)), audit.recorder.acting(Action("key.revoke", key="key-1", object="key-2")):
        raise error
    audit.recorder.flush()
    (entry,) = audit.log.list()
    assert (entry.action, entry.outcome, entry.error, entry.object) == ("key.revoke", outcome, code, "key-2")


def test_an_action_that_fails_after_its_first_change_has_two_entries(audit: Audit, keys: Keys) -> None:
    def create_and_fail() -> None:
        with audit.recorder.acting(Action("key.create", key="key-1")):
            keys.create(NewKey())
            raise NotFound("Something else is missing.")

    with pytest.raises(NotFound):
        create_and_fail()
    audit.recorder.flush()
    assert [entry.outcome for entry in audit.log.list()] == ["failed", "succeeded"]


def test_a_sign_in_is_recorded_once_a_day_for_each_address(audit: Audit, clock: Clock) -> None:
    for _ in range(3):
        audit.recorder.sign_in("acme", "key-1", "192.0.2.1")
    audit.recorder.sign_in("acme", "key-1", "192.0.2.2")
    clock.advance(hours=25)
    audit.recorder.sign_in("acme", "key-1", "192.0.2.1")
    audit.recorder.flush()
    entries = audit.log.list()
    assert [(each.action, each.key, each.address) for each in reversed(entries)] == [
        ("sign_in", "key-1", "192.0.2.1"),
        ("sign_in", "key-1", "192.0.2.2"),
        ("sign_in", "key-1", "192.0.2.1"),
    ]


@pytest.mark.thorough
def test_a_hundred_thousand_wrong_keys_are_a_few_entries(audit: Audit, clock: Clock) -> None:
    for i in range(100_000):
        audit.recorder.add(refused(f"2001:db8::{i:x}", f"req-{i}"))
        clock.advance(seconds=0.1)
    audit.recorder.close()
    entries = audit.log.list(limit=1000)
    assert sum(entry.count for entry in entries) == 100_000
    assert len(entries) < 200
    assert audit.checkpoints.verify().is_intact


def test_many_of_one_kind_hide_none_of_another(audit: Audit) -> None:
    for i in range(1000):
        audit.recorder.add(refused(f"2001:db8::{i:x}"))
    audit.recorder.add(Event(action="key.create", outcome="refused", key="key-7", error="permission_denied"))
    audit.recorder.flush()
    assert [entry.key for entry in audit.log.list(action="key.create")] == ["key-7"]


def test_equal_events_share_an_entry_when_the_window_ends(clock: Clock) -> None:
    tally = Tally(clock.monotonic)
    assert tally.add(refused(request_id="req-1")) == [refused(request_id="req-1")]
    assert [tally.add(refused(request_id=f"req-{i}")) for i in range(5)] == [[]] * 5
    assert tally.due() == []
    clock.advance(seconds=FIRST_WINDOW_SECONDS)
    assert tally.due() == [refused().repeated(5)]
    assert tally.add(refused(request_id="req-9")) == [refused(request_id="req-9")]


@pytest.mark.thorough
def test_windows_become_longer_while_there_are_too_many_kinds(clock: Clock) -> None:
    tally, entries, seconds = Tally(clock.monotonic), 0, 0.0
    while seconds < 24 * 3600:
        for i in range(MAX_KINDS + 5):
            entries += len(tally.add(refused(f"2001:db8::{i:x}")))
        clock.advance(seconds=30)
        seconds += 30
    assert entries < 24 * 3600 / MAX_WINDOW_SECONDS * (2 * MAX_KINDS + 1) * 1.5
