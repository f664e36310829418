"""API keys. The secret text of a key is shown only in the response that creates or rotates it."""

from datetime import datetime

import msgspec

from llmos.core.schemas.base import Description
from llmos.core.schemas.limits import LimitsDescription


class KeyDescription(Description, frozen=True, kw_only=True):
    id: str = ""
    project: str = ""
    name: str = ""
    role: str = ""
    """viewer, developer, operator or owner."""
    state: str = ""
    """active, expired or revoked."""
    ends_with: str = ""
    """The last characters of the key's text."""
    routes: list[str] = msgspec.field(default_factory=list)
    """The model names that the key may request; empty: all."""
    addresses: list[str] = msgspec.field(default_factory=list)
    """The networks that the key may be used from; empty: all."""
    limits: LimitsDescription = LimitsDescription()
    """The limits of this key. Limits of its project apply as well."""
    created_at: datetime | None = None
    created_by: str | None = None
    expires_at: datetime | None = None
    rotated_at: datetime | None = None
    old_expires_at: datetime | None = None
    """The time until which the text before the last rotation still works."""
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """The time of the last use, updated at most once a minute."""
    permissions: list[str] | None = None
    """The permissions of the role that the key has; null: all."""
    app: str | None = None
    """The application whose process uses the key."""


class NewKeyDescription(KeyDescription, frozen=True, kw_only=True):
    """A key that was created or rotated just now."""

    key: str = ""
    """The text of the key. It can't be read again."""
