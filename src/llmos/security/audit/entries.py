"""Entries of the audit log, and the hashes that chain them.

hash of entry n = SHA-256(canonical JSON of entry n), and entry n names the hash of entry n - 1
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, Self

import msgspec

from llmos.core.actions import Action, Detail
from llmos.core.canonical import canonical
from llmos.core.errors import BadRequest
from llmos.core.schemas.audit import AuditEntryDescription

Outcome = Literal["succeeded", "refused", "failed"]
"""refused: whoever asked may not. failed: it went wrong, or can't be."""

FORMAT = 1
"""The format of an entry. Another one will have another number, and old entries keep theirs."""

NO_HASH = "0" * 64
"""The hash before the first entry."""

_SECRET = re.compile(r"://[^/@\s]*@|(?<=\S)\?\S*")
"""The credentials before the host of a URL, and its query, which may contain keys and signatures."""

MAX_TEXT = 256
"""The limit of characters of each text in an entry."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """The content of an entry, before it has its place in the log."""

    action: str
    outcome: Outcome
    project: str = ""
    key: str = ""
    user: str = ""
    object: str = ""
    address: str = ""
    request_id: str = ""
    error: str = ""
    """The code of the error."""
    details: Mapping[str, Detail] = field(default_factory=dict)
    count: int = 1
    """The number of equal events in a row that this entry stands for."""

    @property
    def actor(self) -> str:
        return self.key or self.user

    def repeated(self, count: int, **details: Detail) -> Self:
        return replace(self, count=count, request_id="", details={**self.details, **details})


@dataclass(frozen=True, slots=True)
class Sealed:
    """An entry with its place in the log."""

    number: int
    time: str
    body: str
    hash: str


def event_of(action: Action, outcome: Outcome, error: str = "") -> Event:
    return Event(
        action=action.name,
        outcome=outcome,
        project=action.project,
        key=action.key,
        user=action.user,
        object=action.object,
        address=action.address,
        request_id=action.request_id,
        error=error,
        details=dict(action.details),
    )


def seal(event: Event, number: int, previous: str, now: datetime) -> Sealed:
    """Return the entry with this number, after the entry with the hash `previous`."""
    time = render_time(now)
    texts = {
        name: _text(getattr(event, name))
        for name in ("action", "outcome", "project", "key", "user", "object", "address", "request_id", "error")
    }
    details = {name: _text(value) if isinstance(value, str) else value for name, value in event.details.items()}
    fields: dict[str, Any] = {**texts, "details": details, "count": event.count}
    body = canonical({"format": FORMAT, "number": number, "previous": previous, "time": time, **fields})
    return Sealed(number, time, body.decode(), hash_of(body))


def hash_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def describe(body: str, hash: str) -> AuditEntryDescription:
    return msgspec.structs.replace(msgspec.json.decode(body, type=AuditEntryDescription), hash=hash)


def export_line(body: str, hash: str) -> bytes:
    """Return an entry with its hash, as a line of JSON that ends with a line break."""
    return f'{body[:-1]},"hash":"{hash}"}}\n'.encode()


def read_line(line: bytes) -> Sealed:
    """Return the entry in a line of an export. Raises BadRequest for another line."""
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not isinstance(fields.get("number"), int):
        raise BadRequest("It has a line that isn't an entry of an audit log. `llmos audit export` writes such files.")
    hash = str(fields.pop("hash", ""))
    return Sealed(fields["number"], str(fields.get("time")), canonical(fields).decode(), hash)


def render_time(now: datetime) -> str:
    """Return the time in UTC, so that texts sort as the times do."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(text: str) -> str:
    """Return a text that UTF-8 and canonical JSON can carry, and that isn't long: some come from callers. Locations of
    models are shown without what may be secret in them."""
    text = _SECRET.sub(lambda found: "://" if found[0].startswith(":") else "", text) if "://" in text else text
    return text[:MAX_TEXT].encode(errors="replace").decode()
