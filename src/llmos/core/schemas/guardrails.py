"""A guardrail policy: what screens prompts and answers."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.errors import BadRequest
from llmos.core.schemas.base import Description


class GuardrailPolicyDescription(Description, frozen=True, kw_only=True):
    """One version of a policy."""

    name: str = ""
    version: int = 0
    digest: str = ""
    """SHA-256 of the document in JSON, with sorted keys."""
    document: dict[str, Any] = msgspec.field(default_factory=dict)
    """`input`, `output` and `both`: lists of guardrails with their options."""
    applied_to: list[str] = msgspec.field(default_factory=list)
    """"installation", "project:NAME" and "route:NAME": whose calls it screens, in its last version."""
    created_at: datetime | None = None
    created_by: str | None = None


def place_of(route: str | None, project: str | None, everywhere: bool) -> tuple[str, str]:
    """Return the scope and the target of a policy. Raises BadRequest unless exactly one is given."""
    if (route is not None) + (project is not None) + everywhere != 1:
        raise BadRequest("Say whose calls the policy screens: those of a route, of a project, or everywhere.")
    if route is not None:
        return "route", route
    return ("installation", "") if project is None else ("project", project)
