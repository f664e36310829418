"""Trying a policy on a text, without a model."""

import msgspec

from llmos.core.errors import PromptBlocked
from llmos.security.guardrails.files import Case
from llmos.security.guardrails.policy import Policy
from llmos.security.guardrails.screening import Screening

_SEVERITY = ("allow", "flag", "redact", "block")


class TrialResult(msgspec.Struct, frozen=True, kw_only=True):
    case: int
    """The line of the file."""
    side: str
    verdict: str
    """allow, flag, redact or block."""
    expect: str | None
    is_expected: bool
    found: list[str]
    """GUARDRAIL:RULE of each finding."""
    text: str | None
    """The text after screening; null for a blocked prompt."""


def try_case(policy: Policy, case: Case) -> TrialResult:
    screening = Screening([policy])
    text: str | None
    if case.side == "input":
        try:
            (text,) = screening.screen_prompt([case.text])
        except PromptBlocked:
            text = None
    else:
        channel = screening.open_channel()
        text = channel.push(case.text) + channel.finish()
    verdict = max((finding.verdict for finding in screening.findings), key=_SEVERITY.index, default="allow")
    return TrialResult(
        case=case.number,
        side=case.side,
        verdict=verdict,
        expect=case.expect,
        is_expected=case.expect in (None, verdict),
        found=[f"{finding.guardrail}:{finding.rule}" for finding in screening.findings],
        text=text,
    )
