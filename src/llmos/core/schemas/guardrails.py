"""Guardrail policies, which screen prompts and answers, and their trials on texts and on stored calls."""

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
    """The SHA-256 of the document as JSON with sorted keys."""
    document: dict[str, Any] = msgspec.field(default_factory=dict)
    """`input`, `output` and `both`: lists of guardrails with their options."""
    applied_to: list[str] = msgspec.field(default_factory=list)
    """The calls that the newest version screens: "installation", "project:NAME" and "route:NAME"."""
    created_at: datetime | None = None
    created_by: str | None = None


class GuardrailTrial(Description, frozen=True, kw_only=True):
    """The verdict of a policy on one text. No model is called."""

    policy: str = ""
    """NAME@VERSION; version 0 for one that isn't stored."""
    side: str = ""
    """input or output."""
    verdict: str = ""
    """allow, flag, redact or block."""
    found: list[str] = msgspec.field(default_factory=list)
    """GUARDRAIL:RULE of each finding."""
    text: str | None = None
    """The text after screening; null for a blocked prompt."""


class ReplayCounts(Description, frozen=True, kw_only=True):
    """The verdicts of policies on stored calls, counted. A call whose prompt is blocked has no answer."""

    blocked_prompts: int = 0
    blocked_answers: int = 0
    redacted: int = 0
    """The number of calls that pass with some text masked."""
    flagged: int = 0
    """The number of calls that pass unchanged, although a guardrail found something."""


class ReplayedCall(Description, frozen=True, kw_only=True):
    """A call that a policy would block."""

    id: str = ""
    """The id of the stored response, or BATCH/CUSTOM_ID."""
    project: str = ""
    model: str = ""
    """The name that was asked for."""
    created_at: datetime | None = None
    found: list[str] = msgspec.field(default_factory=list)
    """GUARDRAIL:RULE:SIDE of each finding that blocks it."""


class GuardrailReplayDescription(Description, frozen=True, kw_only=True):
    """The verdicts of a policy on stored calls, compared with the policies that apply now."""

    policy: str = ""
    """NAME@VERSION; version 0 for one that isn't stored."""
    since: datetime | None = None
    num_calls: int = 0
    now: ReplayCounts = ReplayCounts()
    """The counts with the policies that apply now."""
    then: ReplayCounts = ReplayCounts()
    """The counts if this policy applied as well, in place of the version of it that applies now."""
    num_newly_blocked: int = 0
    num_no_longer_blocked: int = 0
    newly_blocked: list[ReplayedCall] = msgspec.field(default_factory=list)
    """The first calls that are newly blocked."""
    findings: dict[str, int] = msgspec.field(default_factory=dict)
    """{GUARDRAIL:RULE:SIDE: calls in which this policy finds it}"""


def place_of(route: str | None, project: str | None, everywhere: bool) -> tuple[str, str]:
    """Return the scope and the target of a policy. Raises BadRequest unless exactly one is given."""
    if (route is not None) + (project is not None) + everywhere != 1:
        raise BadRequest("Say which calls the policy screens: name a `route` or a `project`, or choose `everywhere`.")
    if route is not None:
        return "route", route
    return ("installation", "") if project is None else ("project", project)
