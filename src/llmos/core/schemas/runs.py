"""Runs: the journal of the steps in which an application answered."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description
from llmos.core.schemas.turns import Message, build_turn

RUN_HEADER = "llmos-run"
"""The HTTP header with which the process of an application names the run that a request belongs to."""

LIVE_STATES = ("running", "waiting", "ready")


class StepDescription(Description, frozen=True, kw_only=True):
    """A step of a run, finished or not."""

    number: int = 0
    key: str = ""
    """Identifies the step within its run. For a step with side effects, it is derived from the arguments."""
    kind: str = ""
    """model, tool, step or retrieval."""
    name: str = ""
    digest: str = ""
    """The SHA-256 of the arguments."""
    is_effect: bool = False
    state: str = ""
    """begun, done, failed, in_doubt (begun by a process that died) or cleared (a person confirmed that it didn't
    happen)."""
    attempt: str = ""
    """An id of this attempt, which the process that began it chose."""
    arguments: Any = None
    result: Any = None
    seconds: float = 0.0
    at: datetime | None = None
    """The time at which its state last changed."""


class CallMock(Description, frozen=True, kw_only=True):
    """The result of a tool or a step in an eval, in place of a call."""

    tool: str = ""
    """The name of the tool, or of the step."""
    arguments: dict[str, Any] | None = None
    """The arguments that a call must have; it may have others, too. null: any."""
    result: Any = None
    error: str = ""
    """The reason why it fails, instead of a result."""


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
    """The number of calls of models."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: int | None = None
    """The cost in billionths of the currency; null if no price applies, or prices in several currencies apply."""
    currency: str = ""

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class RunDescription(Description, frozen=True, kw_only=True):
    """One run of an application."""

    id: str = ""
    app: str = ""
    version: int | None = None
    """The Version that began it; null for a process that the server didn't start."""
    session: str | None = None
    """The id of the session."""
    state: str = ""
    """running, waiting (for a signal), ready (to be continued), succeeded, failed, cancelled or interrupted (its
    process died, and its session has continued with another run)."""
    input: Any = None
    output: Any = None
    error: RunFailure | None = None
    usage: RunUsage = RunUsage()
    waits_for: str | None = None
    """The name of the signal that it waits for."""
    waits_with: Any = None
    """The information for the person who decides about the signal."""
    num_steps: int = 0
    """The number of all steps; `steps` may be incomplete."""
    steps: list[StepDescription] = msgspec.field(default_factory=list)
    """The steps, in the order in which they began."""
    signals: list[SignalDescription] = msgspec.field(default_factory=list)
    lease: str | None = None
    """The lease of the process that runs it; set only in the response to that process."""
    lease_expires_at: datetime | None = None
    """The time after which another process may continue the run, if the lease wasn't renewed."""
    created_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None


class RunCount(Description, frozen=True, kw_only=True):
    """The number of runs of one application in one state."""

    app: str = ""
    state: str = ""
    num_runs: int = 0


def turn_of(question: Message, steps: Iterable[StepDescription]) -> list[Message]:
    """Return the messages of a run's turn so far, from its steps: answers of the model, and results of tools."""
    done = [step for step in steps if step.state in ("done", "failed")]
    answers = [step.result for step in done if step.kind == "model"]
    results = {step.result["tool_call_id"]: step.result for step in done if step.kind == "tool"}
    return build_turn(question, answers, results)
