"""Checkpoints: signed, kept in the database and in a file, made in time, and worthless when they are forged."""

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.core.errors import BadRequest, StoreFailed
from llmos.security.audit.audit import Audit
from llmos.security.audit.checkpoints import MAX_AGE, MAX_ENTRIES, Checkpoints, read_checkpoints
from llmos.security.audit.entries import Event
from llmos.security.audit.log import AuditLog
from llmos.security.signing_key import SigningKey, read_public_key
from support.turned_clock import Clock

EVENT = Event(action="key.create", outcome="succeeded", key="owner")


def test_a_checkpoint_is_signed_once_for_an_entry(audit: Audit, signing_key: SigningKey, tmp_path: Path) -> None:
    assert audit.checkpoints.make() is None
    audit.log.record([EVENT, EVENT])
    made = audit.checkpoints.make()
    assert made is not None
    assert made.number == 2
    assert signing_key.public.has_signed(made.raw)
    assert audit.checkpoints.make() == made
    file = tmp_path / "audit" / "checkpoints.jsonl"
    assert [json.loads(line) for line in file.read_text().splitlines()] == [made.raw]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert audit.checkpoints.verify().covered == 2


@pytest.mark.thorough
def test_checkpoints_are_made_after_many_entries_and_after_some_time(audit: Audit, clock: Clock) -> None:
    assert audit.checkpoints.make_if_due() is None
    audit.log.record([EVENT])
    assert audit.checkpoints.make_if_due() is not None  # The first one at once.
    audit.log.record([EVENT] * (MAX_ENTRIES - 1))
    assert audit.checkpoints.make_if_due() is None
    audit.log.record([EVENT])
    assert (made := audit.checkpoints.make_if_due()) is not None
    assert made.number == MAX_ENTRIES + 1
    audit.log.record([EVENT])
    clock.now += MAX_AGE - timedelta(seconds=1)
    assert audit.checkpoints.make_if_due() is None
    clock.advance(seconds=1)
    assert audit.checkpoints.make_if_due() is not None
    clock.now += 2 * MAX_AGE
    assert audit.checkpoints.make_if_due() is None  # Nothing is new.


def test_two_servers_with_keys_of_their_own_sign_one_log(
    audit: Audit, database_url: str, clock: Clock, tmp_path: Path
) -> None:
    other, key = Database(database_url), SigningKey(tmp_path / "other" / "signing")
    elsewhere = Checkpoints(AuditLog(other, clock=clock), key, tmp_path / "other" / "checkpoints.jsonl")
    audit.log.record([EVENT])
    audit.checkpoints.make()
    audit.log.record([EVENT])
    assert elsewhere.make() is not None
    assert (audit.checkpoints.verify().covered, audit.checkpoints.verify().unknown_keys) == (1, [key.public.id])
    assert audit.checkpoints.verify(keys=[key.public]).covered == 2
    other.close()


def test_a_cut_tail_is_found_by_the_file_of_this_machine(
    audit: Audit, signing_key: SigningKey, database_url: str, tmp_path: Path, clock: Clock
) -> None:
    audit.log.record([EVENT] * 3)
    made = audit.checkpoints.make()
    assert made is not None
    later = Checkpoints(audit.log, signing_key, tmp_path / "audit" / "checkpoints.jsonl")
    forged = signing_key.sign({**made.raw, "number": 5})
    with (tmp_path / "audit" / "checkpoints.jsonl").open("a") as file:
        file.write(json.dumps(forged) + "\n" + '{"type": "llmos.audit-che')  # The end was lost in a crash.
    assert later.verify().first_bad == 4


def test_the_key_is_private_and_stays(signing_key: SigningKey, tmp_path: Path) -> None:
    signed = signing_key.sign({"type": "test", "text": "Grüße"})
    assert stat.S_IMODE(signing_key.path.stat().st_mode) == 0o600
    again = SigningKey(signing_key.path)
    assert again.public.id == signing_key.public.id
    assert again.public.has_signed(signed)
    assert not again.public.has_signed({**signed, "text": "Gruesse"})
    assert not again.public.has_signed({**signed, "signature": "nonsense"})
    assert not SigningKey(tmp_path / "other").public.has_signed(signed)
    public = tmp_path / "public.pem"
    public.write_text(signing_key.public.pem)
    assert read_public_key(public).id == signing_key.public.id


def test_a_file_that_is_no_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "signing"
    path.write_text("not a key")
    with pytest.raises(StoreFailed, match="is not an Ed25519 key"):
        _ = SigningKey(path).public
    for content in ("not a key", SigningKey(tmp_path / "private").public.pem.replace("MCow", "AAAA")):
        path.write_text(content)
        with pytest.raises(BadRequest, match="is not an Ed25519 public key"):
            read_public_key(path)
    with pytest.raises(BadRequest, match="can't be read"):
        read_public_key(tmp_path / "missing")


@pytest.mark.parametrize("content", ["", "{}", "[1]", "nonsense", '{"type": "llmos.receipt/1"}', '{"type": "llmos.au'])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "checkpoint.json"
    path.write_text(content)
    with pytest.raises(BadRequest, match="isn't a checkpoint"):
        read_checkpoints(path)
