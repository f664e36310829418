"""Receipts: signed, found by their project only, verified without a server, and kept for a time and up to a number."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from llmos.core.canonical import canonical
from llmos.core.database import Database
from llmos.core.errors import BadRequest, NotFound, UntrustedModel
from llmos.security.receipts.hashes import Choice, hash_of_body, hash_of_choices
from llmos.security.receipts.receipts import Receipts
from llmos.security.receipts.verification import read_receipt, verify_receipt
from llmos.security.signing_key import SigningKey
from support.turned_clock import Clock


@pytest.fixture
def receipts(database: Database, signing_key: SigningKey, clock: Clock) -> Receipts:
    return Receipts(database, signing_key, days=30, max_kept=10, clock=clock)


def document(id: str, *, project: str = "acme", **fields: Any) -> dict[str, Any]:
    return {"id": id, "request_id": f"req-of-{id}", "project": project, "usage": {"prompt_tokens": 3}, **fields}


def test_a_receipt_is_found_by_the_answer_and_by_the_request(receipts: Receipts, signing_key: SigningKey) -> None:
    receipts.add([document("answer-1"), document("answer-2")])
    found = receipts.get("answer-2", project="acme")
    assert receipts.get("req-of-answer-2") == found
    assert (found.id, found.usage, found.type) == ("answer-2", {"prompt_tokens": 3}, "llmos.receipt/1")
    assert verify_receipt(found.raw, [signing_key.public]).id == "answer-2"
    for wrong in ("answer-3", "answer-1\0"):
        with pytest.raises(NotFound, match="kept for 30 days"):
            receipts.get(wrong)
    with pytest.raises(NotFound):
        receipts.get("answer-2", project="other")


def test_any_change_of_a_receipt_is_found(receipts: Receipts, signing_key: SigningKey, tmp_path: Path) -> None:
    receipts.add([document("answer-1", model="smollm2", sampling={"temperature": 0.7})])
    raw = receipts.get("answer-1").raw
    for name in raw.keys() - {"key"}:
        with pytest.raises(UntrustedModel, match="not what was signed"):
            verify_receipt({**raw, name: "changed"}, [signing_key.public])
        with pytest.raises(UntrustedModel, match="not what was signed"):
            verify_receipt({other: value for other, value in raw.items() if other != name}, [signing_key.public])
    with pytest.raises(UntrustedModel, match="--key FILE"):
        verify_receipt(raw, [SigningKey(tmp_path / "other").public])


def test_a_checkpoint_is_no_receipt(tmp_path: Path, signing_key: SigningKey) -> None:
    for text in ("", "[]", "{}", json.dumps(signing_key.sign({"type": "llmos.audit-checkpoint/1"}))):
        (tmp_path / "file.json").write_text(text)
        with pytest.raises(BadRequest, match="isn't a receipt"):
            read_receipt(tmp_path / "file.json")
    with pytest.raises(BadRequest, match="can't be read"):
        read_receipt(tmp_path / "missing.json")


def test_receipts_are_kept_for_a_time(receipts: Receipts, clock: Clock) -> None:
    receipts.add([document("old")])
    clock.now += timedelta(days=20)
    receipts.add([document("new")])
    clock.now += timedelta(days=11)
    assert receipts.remove_old() == 1
    assert receipts.get("new").id == "new"
    with pytest.raises(NotFound):
        receipts.get("old")
    clock.now += timedelta(days=20)
    assert (receipts.remove_old(), receipts.remove_old()) == (1, 0)


def test_receipts_are_kept_up_to_a_number(receipts: Receipts) -> None:
    receipts.add([document(f"answer-{i}") for i in range(25)])
    assert receipts.remove_old() == 15
    assert receipts.get("answer-15").id == "answer-15"
    with pytest.raises(NotFound):
        receipts.get("answer-14")


def test_a_body_has_one_hash_however_it_is_written() -> None:
    one = hash_of_body(b'{"model": "a", "temperature": 1.0, "user": "\xc3\xa9"}')
    assert one == hash_of_body(b'{"user":"\\u00e9","temperature":1,"model":"a"}')
    assert one["of"] == "json"
    for body in (b"not json", b'{"seed": 9223372036854775807}', b"", b'{"text": "\\ud800"}', b"[" * 100_000):
        assert hash_of_body(body)["of"] == "bytes"


def test_the_arguments_of_a_call_have_one_hash_however_they_are_written() -> None:
    def hash_of(arguments: str) -> dict[str, str]:
        return hash_of_choices([Choice(text="", tool_calls=[("f", arguments)])])

    assert hash_of('{"a": 1, "b": [2]}') == hash_of('{"b":[2.0],"a":1}') != hash_of("{}")
    assert hash_of("") == hash_of("{}")
    assert hash_of('{"a": 1') != hash_of('{"a": 2')  # Cut off, so it is a text.


@pytest.mark.parametrize(
    "document",
    [
        {"id": "answer-1", "version": "a@1", "usage": {"b": 1, "a": [1.5, None, "ü"]}},
        {"a": 1},
        {"zebra": {"é": 1}, "signature": "of somebody else"},
        {},
    ],
)
def test_a_document_that_is_signed_as_text_is_the_signed_document(
    document: dict[str, Any], signing_key: SigningKey
) -> None:
    text = signing_key.sign_as_text(document)
    assert text.encode() == canonical(signing_key.sign(document))
    assert signing_key.public.has_signed(json.loads(text))
