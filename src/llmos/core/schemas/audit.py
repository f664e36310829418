"""The audit log: its entries, its checkpoints, and the findings of a verification."""

from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class AuditEntryDescription(Description, frozen=True, kw_only=True):
    """An entry. Its hash is the SHA-256 of the canonical JSON (RFC 8785) of all other fields."""

    format: int = 1
    number: int = 0
    """From 1, without gaps."""
    time: str = ""
    action: str = ""
    """NOUN.VERB, such as key.revoke."""
    outcome: str = ""
    """succeeded, refused or failed."""
    project: str = ""
    key: str = ""
    """The id of the key that the request came with."""
    user: str = ""
    """The user of the server's machine who ran the command, or the part of the server that decided."""
    object: str = ""
    """The thing that was changed, such as a key or a route."""
    address: str = ""
    """The IP address that the request came from."""
    request_id: str = ""
    error: str = ""
    """The code of the error."""
    details: dict[str, Any] = msgspec.field(default_factory=dict)
    count: int = 1
    """The number of equal events in a row that this entry stands for."""
    previous: str = ""
    """The hash of the previous entry."""
    hash: str = ""

    @property
    def actor(self) -> str:
        return self.key or self.user


class CheckpointDescription(Description, frozen=True, kw_only=True):
    """A signed statement: at this time, the entry with this number had this hash."""

    type: str = ""
    number: int = 0
    hash: str = ""
    time: str = ""
    key: str = ""
    """The id of the key that signed it."""
    signature: str = ""
    """Ed25519, in base64, of the canonical JSON (RFC 8785) of all other fields."""


class AuditVerification(Description, frozen=True, kw_only=True):
    """The findings of a verification of the audit log."""

    is_intact: bool = True
    num_entries: int = 0
    last_hash: str = ""
    num_checkpoints: int = 0
    """The number of signed checkpoints that agree with the entries."""
    covered: int = 0
    """The number of the last entry that a signed checkpoint covers."""
    first_bad: int | None = None
    """The number of the first entry that is wrong or missing."""
    problem: str | None = None
    unknown_keys: list[str] = msgspec.field(default_factory=list)
    """The ids of keys that signed further checkpoints, which weren't verified because their public keys weren't
    given."""
