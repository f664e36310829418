"""Findings of `llmos doctor`: what a check of a machine and an installation found, and what to do."""

import msgspec

from llmos.core.schemas.base import Description


class Finding(Description, frozen=True):
    check: str = ""
    """The name of the check, such as memory or encryption."""
    ok: bool = True
    found: str = ""
    advice: str = ""
    """The remedy, also for something that works but could work better."""


class DoctorReport(Description, frozen=True, kw_only=True):
    ok: bool = True
    """Nothing needs to be mended."""
    findings: list[Finding] = msgspec.field(default_factory=list)
