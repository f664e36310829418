"""Verification of the audit log: every entry against its hash and the entry before it, and all of it against signed
checkpoints. It names the first entry that is wrong or missing.

The chain alone shows an edit, a deletion, an insertion and another order. A checkpoint that is kept elsewhere also
shows a tail that was cut, and a chain that was computed again after an edit.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from llmos.core.canonical import canonical
from llmos.core.errors import BadRequest
from llmos.core.schemas.audit import AuditVerification
from llmos.security.audit.entries import NO_HASH, hash_of
from llmos.security.signing_key import PublicKey, signer_of


class Entry(Protocol):
    """An entry as it is stored."""

    @property
    def number(self) -> int: ...
    @property
    def body(self) -> str: ...
    @property
    def hash(self) -> str: ...


def verify(
    entries: Iterable[Entry], checkpoints: Sequence[Mapping[str, Any]], keys: Sequence[PublicKey]
) -> AuditVerification:
    """Return what is wrong with the log, if anything is. `keys`: those that may sign checkpoints."""
    unknown = {str(each.get("key")) for each in checkpoints if signer_of(each, keys) is None}
    signed = [each for each in checkpoints if signer_of(each, keys) is not None]
    forged = next((each for each in signed if not _is_checkpoint(each, keys)), None)
    expected: dict[int, str] = {each["number"]: each["hash"] for each in signed if _is_checkpoint(each, keys)}
    covered = max(expected, default=0)
    number, previous, problem = 0, NO_HASH, None
    for entry in entries:
        problem = _problem(entry, number + 1, previous) or _disagreement(entry, expected)
        if problem is not None:
            break
        number, previous = number + 1, entry.hash
    if problem is None and covered > number:
        problem = f"entry {number + 1} is missing: a checkpoint was signed for {covered}, and the log has {number}"
    first_bad = None if problem is None else number + 1
    if problem is None and forged is not None:
        problem = f"the checkpoint of entry {forged.get('number')} has an invalid signature"
    return AuditVerification(
        is_intact=problem is None,
        num_entries=number,
        last_hash=previous,
        num_checkpoints=len(expected),
        covered=min(covered, number),
        first_bad=first_bad,
        problem=problem,
        unknown_keys=sorted(unknown),
    )


def _problem(entry: Entry, number: int, previous: str) -> str | None:
    """Return what is wrong with an entry that should have this number, and be chained to this hash."""
    if entry.number != number:
        return f"entry {number} is missing"
    wrong = f"entry {number} was changed: "
    if hash_of(entry.body.encode(errors="surrogatepass")) != entry.hash:
        return wrong + "its hash is another one"
    try:
        fields = msgspec.json.decode(entry.body)
        is_canonical = canonical(fields).decode() == entry.body
    except (msgspec.MsgspecError, BadRequest):
        return wrong + "it is not JSON"
    if not isinstance(fields, dict) or not is_canonical:
        return wrong + "it is not canonical JSON"
    if fields.get("number") != number:
        return wrong + f"it says that it is number {fields.get('number')}"
    if fields.get("previous") != previous:
        return wrong + f"it isn't chained to entry {number - 1}" if number > 1 else wrong + "it isn't the first"
    for name, value in _repeated(fields).items():
        if getattr(entry, name, value) != value:
            return wrong + f"its column {name} differs from what it says"
    return None


def _repeated(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the columns of the row repeat, to select by."""
    actor = fields.get("key") or fields.get("user")
    return {"actor": actor} | {name: fields.get(name) for name in ("time", "action", "project")}


def _disagreement(entry: Entry, expected: Mapping[int, str]) -> str | None:
    hash = expected.get(entry.number, entry.hash)
    if hash == entry.hash:
        return None
    return (
        f"entry {entry.number} is not the one that a checkpoint was signed for: it, or one before it, was changed, and"
        " the hashes were computed again"
    )


def _is_checkpoint(document: Mapping[str, Any], keys: Sequence[PublicKey]) -> bool:
    signer = signer_of(document, keys)
    has_form = isinstance(document.get("number"), int) and isinstance(document.get("hash"), str)
    return has_form and document.get("type") == CHECKPOINT and signer is not None and signer.has_signed(document)


CHECKPOINT = "llmos.audit-checkpoint/1"
"""The type of the document, so that no other signed document can pass for one."""
