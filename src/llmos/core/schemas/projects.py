"""A project: a tenant of the installation."""

from datetime import datetime

from llmos.core.schemas.base import Description
from llmos.core.schemas.limits import LimitsDescription


class ProjectDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    description: str = ""
    num_keys: int = 0
    """The keys that work, without the owner's key."""
    limits: LimitsDescription = LimitsDescription()
    """The limits of all its keys together."""
    retention: str = "default"
    """How long what is kept for it stays: default, forever, nothing, or days such as 30d."""
    created_at: datetime | None = None
    """null for the installation's own project, `owner`."""
    created_by: str | None = None
