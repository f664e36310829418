"""An alias and its moves."""

from datetime import datetime

from llmos.core.schemas.base import Description


class AliasMoveDescription(Description, frozen=True, kw_only=True):
    """One move of an alias; the last one says where it points."""

    name: str = ""
    """MODEL:ALIAS."""
    model: str = ""
    alias: str = ""
    was: str | None = None
    """The Version that it pointed at before."""
    now: str | None = None
    """The Version that it pointed at afterwards; null if the alias was removed."""
    at: datetime | None = None
    by: str | None = None


class AliasSpan(Description, frozen=True, kw_only=True):
    """A Version that an alias pointed at for a time."""

    version: str | None = None
    """null: there was no such alias."""
    since: datetime | None = None
    """null: from the beginning."""
    until: datetime | None = None
    """null: until now."""
