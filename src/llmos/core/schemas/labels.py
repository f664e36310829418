"""The tags and the description of a model or a Version, and the history of their changes."""

from datetime import datetime

import msgspec

from llmos.core.schemas.base import Description


class LabelsDescription(Description, frozen=True, kw_only=True):
    description: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    """The values of tags by key; empty for a tag without a value."""


class LabelChangeDescription(Description, frozen=True, kw_only=True):
    subject: str = ""
    """NAME, or NAME@NUMBER of a Version."""
    what: str = ""
    """`description`, or `tag KEY`."""
    was: str | None = None
    now: str | None = None
    at: datetime | None = None
    by: str | None = None
