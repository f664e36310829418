"""Findings of `llmos doctor`: the results of checks of a machine and an installation, each with advice."""

import msgspec

from llmos.core.schemas.base import Description


class Finding(Description, frozen=True):
    check: str = ""
    """The name of the check, such as memory or encryption."""
    ok: bool = True
    found: str = ""
    advice: str = ""
    """The next step, also for something that works but could work better; empty if there is nothing to do."""


class DoctorReport(Description, frozen=True, kw_only=True):
    ok: bool = True
    """True if every check passed."""
    findings: list[Finding] = msgspec.field(default_factory=list)
