"""Webhooks and their secrets; the outbox: what is kept, tried again, given up and forgotten."""

import base64
import hashlib
import hmac
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.webhooks import queries
from llmos.core.webhooks.events import Event
from llmos.core.webhooks.outbox import Outbox, Outcome, delay_seconds
from llmos.core.webhooks.signing import headers_of, is_signed, new_secret
from llmos.core.webhooks.webhooks import MAX_WEBHOOKS, NewWebhook, Webhooks
from support.turned_clock import Clock

OK, DOWN = Outcome(status=200), Outcome(error="The receiver can't be reached.")


def add(webhooks: Webhooks, name: str = "crm", **fields: Any) -> str:
    return webhooks.add("acme", NewWebhook(name=name, url=f"https://{name}.example.com", **fields)).secret


def happen(database: Database, outbox: Outbox, key: str = "one", **fields: Any) -> list[str]:
    event = Event(type="handoff.created", key=key, data={"question": "marker"}, subjects=fields.pop("subjects", ()))
    prepared = outbox.prepare("acme", event, **fields)
    with database.transaction() as session:
        return [*outbox.add(session, prepared)]


def claim(outbox: Outbox) -> Any:
    (webhook,) = outbox.webhooks_with_due()
    return outbox.claim(webhook)


def test_a_signature_is_what_the_standard_says() -> None:
    secret = new_secret()
    headers = headers_of([secret], "msg-1", 1_796_000_000, b'{"a":1}')
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = hmac.new(key, b'msg-1.1796000000.{"a":1}', hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    assert is_signed(secret, headers, b'{"a":1}', now=1_796_000_100)
    assert not is_signed(secret, headers, b'{"a":2}', now=1_796_000_100), "another body"
    assert not is_signed(secret, headers | {"webhook-id": "msg-2"}, b'{"a":1}', now=1_796_000_100)
    assert not is_signed(secret, headers, b'{"a":1}', now=1_796_000_301), "replayed later"
    assert not is_signed(new_secret(), headers, b'{"a":1}', now=1_796_000_100)
    assert not is_signed(secret, {}, b"", now=0)
    with pytest.raises(ValueError, match="whsec_"):
        headers_of(["whsec_ä"], "msg-1", 0, b"")


def test_a_secret_is_shown_once_and_kept_encrypted(webhooks: Webhooks, outbox: Outbox, database: Database) -> None:
    secret = add(webhooks)
    assert "secret" not in webhooks.get("acme", "crm").raw
    happen(database, outbox)
    with database.session() as session:
        for table in ("webhooks", "webhook_messages"):
            (row,) = session.execute(text(f"SELECT * FROM {table}")).all()
            kept = b"\n".join(each if isinstance(each, bytes) else str(each).encode() for each in row)
            assert secret.encode() not in kept
            assert b"marker" not in kept


def test_after_a_rotation_both_secrets_sign_until_the_old_one_ends(
    webhooks: Webhooks, outbox: Outbox, database: Database, clock: Clock
) -> None:
    old = add(webhooks)
    new = webhooks.rotate("acme", "crm").secret
    happen(database, outbox)
    message = claim(outbox)
    assert message.secrets == [new, old]
    outbox.finish(message, DOWN)
    assert webhooks.get("acme", "crm").old_secret_expires_at is not None
    clock.advance(hours=23)
    clock.advance(hours=2)
    assert webhooks.get("acme", "crm").old_secret_expires_at is None
    assert claim(outbox).secrets == [new]
    newest = webhooks.rotate("acme", "crm", overlap=timedelta()).secret
    happen(database, outbox, "two")
    assert claim(outbox).secrets == [newest]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"url": "ftp://example.com"}, "must be such as https"),
        ({"url": "https://"}, "must be such as https"),
        ({"url": "http://example.com"}, "unencrypted"),
        ({"url": "https://user:secret@example.com"}, "password"),
        ({"url": "https://example.com/" + 2048 * "x"}, "2,048"),
        ({"url": "https://[::1"}, "can't be read"),
        ({"events": ["handoff.create"]}, "handoff.created"),
        ({"name": "deliveries"}, "another one"),
        ({"name": "a b"}, "a webhook"),
    ],
)
def test_what_can_not_be_a_webhook_is_refused(webhooks: Webhooks, fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadRequest, match=complaint):
        webhooks.add("acme", NewWebhook(**{"name": "crm", "url": "https://example.com"} | fields))


@pytest.mark.thorough
def test_names_are_taken_once_and_numbers_are_limited(webhooks: Webhooks) -> None:
    add(webhooks)
    with pytest.raises(Conflict, match="already"):
        add(webhooks)
    for number in range(1, MAX_WEBHOOKS):
        add(webhooks, f"crm{number}")
    with pytest.raises(Conflict, match="can't have more"):
        add(webhooks, "another")
    with pytest.raises(NotFound, match="Did you mean crm"):
        webhooks.get("acme", "crmm")
    assert webhooks.list("rival") == []
    with pytest.raises(NotFound):
        webhooks.remove("rival", "crm")


def test_an_event_is_told_to_those_that_want_it_and_to_the_one_that_is_named(
    webhooks: Webhooks, outbox: Outbox, database: Database
) -> None:
    add(webhooks, "all")
    add(webhooks, "ended", events=["handoff.closed"])
    assert len(happen(database, outbox, "one")) == 1
    assert len(happen(database, outbox, "two", to="ended")) == 2
    assert len(happen(database, outbox, "three", to="https://all.example.com/")) == 1
    assert sorted(each.webhook for each in outbox.deliveries("acme")) == ["all", "all", "all", "ended"]
    with pytest.raises(NotFound, match="llmos webhook add NAME https://other"):
        outbox.prepare("acme", Event(type="handoff.created", key="k", data={}), to="https://other.example.com")
    with pytest.raises(BadRequest, match="1,048,576"):
        outbox.prepare("acme", Event(type="handoff.created", key="k", data="x" * (1 << 20)))


def test_the_same_event_makes_one_message(webhooks: Webhooks, outbox: Outbox, database: Database) -> None:
    add(webhooks)
    assert len(happen(database, outbox)) == 1
    assert happen(database, outbox) == []
    assert webhooks.get("acme", "crm").num_pending == 1


def test_a_delivered_message_is_not_kept_but_its_log_is(
    webhooks: Webhooks, outbox: Outbox, database: Database, clock: Clock
) -> None:
    add(webhooks)
    (id,) = happen(database, outbox)
    delivery = outbox.finish(claim(outbox), Outcome(status=204, seconds=0.1))
    assert (delivery.id, delivery.state, delivery.webhook) == (id, "delivered", "crm")
    assert [(each.number, each.status) for each in delivery.attempts] == [(1, 204)]
    assert outbox.webhooks_with_due() == []
    with database.session() as session:
        assert session.scalars(text("SELECT sealed FROM webhook_messages")).one() is None
        assert session.scalars(text("SELECT count(*) FROM object_keys WHERE object_id = :id"), {"id": id}).one() == 0
    clock.advance(days=31)
    with database.transaction() as session:
        queries.remove_expired(session, clock())
    assert outbox.deliveries("acme") == []


def test_a_failed_attempt_is_made_again_ever_later_until_a_day_has_passed(
    webhooks: Webhooks, outbox: Outbox, database: Database, clock: Clock
) -> None:
    add(webhooks)
    happen(database, outbox)
    began, states, ids = clock(), [], set()
    while outbox.webhooks_with_due():
        message = claim(outbox)
        ids.add(message.id)
        delivery = outbox.finish(message, DOWN)
        states.append(delivery.state)
        if delivery.next_attempt_at is not None:
            assert delivery.next_attempt_at > clock()
            assert outbox.webhooks_with_due() == [], "not before its time"
            clock.now = delivery.next_attempt_at
    assert states == ["pending"] * (len(states) - 1) + ["failed"]
    assert 8 <= len(states) <= 16
    assert timedelta(hours=15) < clock() - began <= timedelta(days=1)
    assert len(ids) == 1, "every attempt has the same id"
    with database.session() as session:
        assert session.scalars(text("SELECT sealed FROM webhook_messages")).one() is None


def test_delays_grow_and_differ() -> None:
    assert [delay_seconds(number, lambda: 0.5) for number in (1, 2, 3, 20)] == [5, 15, 45, 14_400]
    assert [delay_seconds(1, draw) for draw in (lambda: 0.0, lambda: 1.0)] == pytest.approx([4, 6])
    assert len({delay_seconds(5) for _ in range(20)}) > 1


def test_a_receiver_may_ask_for_more_time_or_say_never(
    webhooks: Webhooks, outbox: Outbox, database: Database, clock: Clock
) -> None:
    add(webhooks)
    happen(database, outbox)
    delivery = outbox.finish(claim(outbox), Outcome(status=429, retry_after_seconds=600))
    assert delivery.next_attempt_at == clock() + timedelta(seconds=600)
    clock.advance(seconds=600)
    assert outbox.finish(claim(outbox), Outcome(status=410)).state == "failed"


def test_a_message_of_a_process_that_died_is_sent_again_with_the_same_id(
    webhooks: Webhooks, outbox: Outbox, database: Database, clock: Clock
) -> None:
    add(webhooks)
    happen(database, outbox)
    first = claim(outbox)
    assert outbox.webhooks_with_due() == [], "it is being sent"
    clock.advance(seconds=31)
    second = claim(outbox)
    assert (second.id, second.number) == (first.id, 2)
    assert outbox.finish(second, OK).state == "delivered"
    late = outbox.finish(first, DOWN)
    assert late.state == "delivered", "what the first process learns later changes nothing"
    assert [each.status for each in late.attempts] == [None, 200]


def test_messages_of_a_removed_webhook_are_gone(webhooks: Webhooks, outbox: Outbox, database: Database) -> None:
    add(webhooks)
    happen(database, outbox)
    message = claim(outbox)
    webhooks.remove("acme", "crm")
    with pytest.raises(NotFound, match="removed meanwhile"):
        outbox.finish(message, OK)
    with database.session() as session:
        for table in ("webhooks", "webhook_messages", "webhook_attempts", "object_keys"):
            assert session.scalars(text(f"SELECT count(*) FROM {table}")).one() == 0


def test_what_was_erased_is_not_sent(webhooks: Webhooks, outbox: Outbox, database: Database, encryption: Any) -> None:
    add(webhooks)
    subject = encryption.ring.index("subject", "acme", "ann")
    (id,) = happen(database, outbox, "one", subjects=[subject])
    encryption.ring.destroy_subject("acme", subject)
    (webhook,) = outbox.webhooks_with_due()
    assert outbox.claim(webhook) is None
    (delivery,) = outbox.deliveries("acme")
    assert (delivery.state, "erased" in delivery.attempts[0].error) == ("failed", True)
    with database.transaction() as session:
        assert queries.remove_objects(session, "rival", [id]) == []
        assert queries.remove_objects(session, "acme", [id]) == [id]


def test_deliveries_are_read_in_pages(webhooks: Webhooks, outbox: Outbox, database: Database) -> None:
    add(webhooks)
    ids = [happen(database, outbox, key)[0] for key in ("one", "two", "three")]
    outbox.finish(claim(outbox), OK)
    assert [each.id for each in outbox.deliveries("acme", "crm")] == ids[::-1]
    assert [each.id for each in outbox.deliveries("acme", after=ids[2], limit=1)] == [ids[1]]
    assert [each.id for each in outbox.deliveries("acme", state="delivered")] == [ids[0]]
    for unknown in ("msg-1", "\0"):
        with pytest.raises(NotFound):
            outbox.deliveries("acme", after=unknown)
    assert outbox.deliveries("rival") == []
    with database.transaction() as session:
        queries.remove_all_of(session, "acme")
    happen(database, outbox)
    with database.transaction() as session:
        queries.remove_all(session)
