"""An API key. Its text is in the reply that creates or rotates it, and nowhere else."""

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
    """The last characters of its text."""
    routes: list[str] = msgspec.field(default_factory=list)
    """The names that it may ask for; empty: all."""
    addresses: list[str] = msgspec.field(default_factory=list)
    """The networks that it may be used from; empty: all."""
    limits: LimitsDescription = LimitsDescription()
    """The limits of this key; its project may have others."""
    created_at: datetime | None = None
    created_by: str | None = None
    expires_at: datetime | None = None
    rotated_at: datetime | None = None
    old_expires_at: datetime | None = None
    """The time until which the text before the last rotation works."""
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """Written at most once a minute."""
    permissions: list[str] | None = None
    """Those of its role that it has; null: all."""
    app: str | None = None
    """The application whose process has it."""


class NewKeyDescription(KeyDescription, frozen=True, kw_only=True):
    """A key that was created or rotated just now."""

    key: str = ""
    """Its text. It can't be read again."""
