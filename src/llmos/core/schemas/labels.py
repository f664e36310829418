"""The tags and the description of a model or a Version, and who changed them."""

from datetime import datetime

import msgspec

from llmos.core.schemas.base import Description


class LabelsDescription(Description, frozen=True, kw_only=True):
    description: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    """A tag without a value has an empty one."""


class LabelChangeDescription(Description, frozen=True, kw_only=True):
    subject: str = ""
    """NAME, or NAME@NUMBER of a Version."""
    what: str = ""
    """`description`, or `tag KEY`."""
    was: str | None = None
    now: str | None = None
    at: datetime | None = None
    by: str | None = None
