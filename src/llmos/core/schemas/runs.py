"""Runs: the journal of what an application did to answer."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description
from llmos.core.schemas.turns import Message, build_turn

RUN_HEADER = "llmos-run"
"""The header in which the process of an application says which run a request belongs to."""

LIVE_STATES = ("running", "waiting", "ready")


class StepDescription(Description, frozen=True, kw_only=True):
    """One thing that a run did, or began."""

    number: int = 0
    key: str = ""
    """Names the step within its run. That of an effect is made of what it does."""
    kind: str = ""
    """model, tool, step or retrieval."""
    name: str = ""
    digest: str = ""
    """SHA-256 of the arguments."""
    is_effect: bool = False
    state: str = ""
    """begun, done, failed, in_doubt (begun by a process that died) or cleared (known not to have happened)."""
    attempt: str = ""
    """Chosen by the process that began it."""
    arguments: Any = None
    result: Any = None
    seconds: float = 0.0
    at: datetime | None = None
    """When its state last changed."""


class SignalDescription(Description, frozen=True, kw_only=True):
    """A signal that a run waited for, such as an approval."""

    name: str = ""
    value: Any = None
    actor: str | None = None
    at: datetime | None = None


class RunFailure(Description, frozen=True, kw_only=True):
    code: str = ""
    message: str = ""


class RunUsage(Description, frozen=True, kw_only=True):
    """The consumption of a run."""

    num_calls: int = 0
    """Calls of the model."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: int | None = None
    """In billionths of the currency; None where nothing has a price, or prices of several currencies applied."""
    currency: str = ""

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class RunDescription(Description, frozen=True, kw_only=True):
    """One run of an application."""

    id: str = ""
    app: str = ""
    session: str | None = None
    """The id of its session."""
    state: str = ""
    """running, waiting (for a signal), ready (to be continued), succeeded, failed, cancelled or interrupted: its
    process died, and the session went on."""
    input: Any = None
    output: Any = None
    error: RunFailure | None = None
    usage: RunUsage = RunUsage()
    waits_for: str | None = None
    """The name of the signal that it waits for."""
    waits_with: Any = None
    """What the person who decides must know."""
    num_steps: int = 0
    """All its steps, also where `steps` has some of them or none."""
    steps: list[StepDescription] = msgspec.field(default_factory=list)
    """In the order in which they began."""
    signals: list[SignalDescription] = msgspec.field(default_factory=list)
    lease: str | None = None
    """Set in the answer to the process that runs it."""
    lease_expires_at: datetime | None = None
    """A process that died before this moment is given up then: another one may continue the run."""
    created_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None


class RunCount(Description, frozen=True, kw_only=True):
    """The number of runs of one application in one state."""

    app: str = ""
    state: str = ""
    num_runs: int = 0


def turn_of(question: Message, steps: Iterable[StepDescription]) -> list[Message]:
    """Return the messages of a run's turn so far, out of its steps: answers of the model, and results of tools."""
    done = [step for step in steps if step.state in ("done", "failed")]
    answers = [step.result for step in done if step.kind == "model"]
    results = {step.result["tool_call_id"]: step.result for step in done if step.kind == "tool"}
    return build_turn(question, answers, results)
