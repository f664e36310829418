"""A policy over calls that are kept: what it would block, before it is switched on."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, cast

from llmos.core.errors import PromptBlocked
from llmos.core.progress import Progress
from llmos.core.schemas.guardrails import GuardrailReplayDescription, ReplayCounts, ReplayedCall
from llmos.security.guardrails.guardrail import Channel, Source
from llmos.security.guardrails.policy import Policy
from llmos.security.guardrails.screening import Finding, Screening

MAX_NAMED = 20
"""Calls that the result names."""


class Call(Protocol):
    """A call as it is kept."""

    @property
    def id(self) -> str: ...
    @property
    def project(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def prompt(self) -> Sequence[tuple[str, str]]:
        """(source, text)"""

    @property
    def answer(self) -> Sequence[tuple[str, str]]:
        """(channel, text)"""


@dataclass(slots=True)
class _Tally:
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, findings: Sequence[Finding]) -> bool:
        """Count a call. Return whether it is blocked."""
        verdicts = {finding.verdict for finding in findings}
        if "block" in verdicts:
            is_prompt = any(finding.verdict == "block" and finding.side == "input" for finding in findings)
            self.counts["blocked_prompts" if is_prompt else "blocked_answers"] += 1
        elif verdicts:
            self.counts["redacted" if "redact" in verdicts else "flagged"] += 1
        return "block" in verdicts

    def describe(self) -> ReplayCounts:
        return ReplayCounts(**self.counts)


def replay(
    policy: Policy,
    calls: Iterable[Call],
    policies_of: Callable[[Call], Sequence[Policy]],
    *,
    since: datetime,
    num_calls: int,
    progress: Progress,
) -> GuardrailReplayDescription:
    """Screen calls with the policies that apply to each now, and with this one besides.

    `num_calls`: for the progress; there may be others by the time that they are read.
    """
    now, then = _Tally(), _Tally()
    newly: list[ReplayedCall] = []
    findings: Counter[str] = Counter()
    num_done = num_newly = num_no_longer = 0
    for call in calls:
        applied = policies_of(call)
        was_blocked = now.add(screen(call, applied))
        found = screen(call, [*(each for each in applied if each.name != policy.name), policy])
        is_blocked = then.add(found)
        findings.update({_name(each) for each in found if each.policy == policy.name})
        num_no_longer += was_blocked and not is_blocked
        if is_blocked and not was_blocked:
            num_newly += 1
            if len(newly) < MAX_NAMED:
                newly.append(_described(call, found))
        num_done += 1
        progress("calls", num_done, max(num_calls, num_done))
    return GuardrailReplayDescription(
        policy=policy.ref,
        since=since,
        num_calls=num_done,
        now=now.describe(),
        then=then.describe(),
        num_newly_blocked=num_newly,
        num_no_longer_blocked=num_no_longer,
        newly_blocked=newly,
        findings=dict(sorted(findings.items())),
    )


def screen(call: Call, policies: Sequence[Policy]) -> Sequence[Finding]:
    """Return what the policies find in a call."""
    screening = Screening(policies)
    if screening.screens_input:
        sources = [cast(Source, source) for source, _ in call.prompt]
        try:
            screening.screen_prompt([text for _, text in call.prompt], sources)
        except PromptBlocked:
            return screening.findings
    if any(policy.output for policy in policies):
        for name, text in call.answer:
            channel = screening.open_channel(cast(Channel, name))
            channel.push(text)
            channel.finish()
            if channel.is_blocked:
                break  # An answer that is cut has nothing more.
    return screening.findings


def _described(call: Call, findings: Sequence[Finding]) -> ReplayedCall:
    blocking = [_name(finding) for finding in findings if finding.verdict == "block"]
    return ReplayedCall(
        id=call.id,
        project=call.project,
        model=call.model,
        created_at=call.created_at,
        found=list(dict.fromkeys(blocking)),
    )


def _name(finding: Finding) -> str:
    return f"{finding.guardrail}:{finding.rule}:{finding.side}"
