"""Projects, the tenants of an installation."""

from datetime import datetime

from llmos.core.schemas.base import Description
from llmos.core.schemas.limits import LimitsDescription


class ProjectDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    description: str = ""
    num_keys: int = 0
    """The number of active keys, without the owner's key."""
    limits: LimitsDescription = LimitsDescription()
    """The limits that all keys of the project share."""
    retention: str = "default"
    """The time for which the project's data are stored: default, forever, nothing, or a number of days such as 30d."""
    created_at: datetime | None = None
    """null for the installation's own project, `owner`."""
    created_by: str | None = None
