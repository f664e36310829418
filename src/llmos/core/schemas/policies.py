"""Policies: the project's requirements for the Versions that it runs."""

from datetime import datetime

from llmos.core.schemas.base import Description


class PolicyDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    value: bool | float = False
    updated_at: datetime | None = None
    updated_by: str | None = None
