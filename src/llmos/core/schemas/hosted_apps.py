"""Hosted applications: the result of a run, the events of its stream, and the state of deployed applications."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description
from llmos.core.schemas.knowledge import Citation, Sentence, citations_of
from llmos.core.schemas.runs import RunFailure, RunUsage, StepDescription


class LeftOut(Description, frozen=True, kw_only=True):
    """The turns of a session that were left out of the prompts of a run."""

    num_turns: int = 0
    """The number of turns, counted from the beginning of the session."""
    is_summarized: bool = False
    """The prompts had a summary in place of these turns."""


class RunResult(Description, frozen=True, kw_only=True):
    """A run that has ended with an answer, or that waits."""

    id: str = ""
    app: str = ""
    state: str = ""
    """succeeded, waiting or ready."""
    text: str = ""
    output: Any = None
    """The answer as an object of the application's answer type; without a type, the text."""
    sentences: list[Sentence] = msgspec.field(default_factory=list)
    """The sentences of an answer from documents; otherwise empty."""
    notes: list[str] = msgspec.field(default_factory=list)
    """Remarks for the reader of the answer."""
    steps: list[StepDescription] = msgspec.field(default_factory=list)
    usage: RunUsage = RunUsage()
    cost: int | None = None
    """The cost of its calls of models, in billionths of the currency; null if no price applies."""
    currency: str = ""
    session: str | None = None
    """The name of the session."""
    left_out: LeftOut | None = None
    abstained: bool = False
    """The documents don't answer the question, and the application said so."""
    handoff: Any = None
    """The id of the handoff in the queue, or the value that the application's function for handoffs returned."""
    finish_reason: str = ""
    """`stop`, or `length` if the text ended at max_tokens."""
    waits_for: str | None = None
    """The name of the signal that the run waits for, such as an approval."""
    waits_with: Any = None
    """The information for the person who decides about the signal."""

    @property
    def citations(self) -> Sequence[Citation]:
        """The passages that the sentences are based on, each once."""
        return citations_of(self.sentences)


class RunEvent(Description, frozen=True, kw_only=True, omit_defaults=True):
    """One event of a run. The fields depend on the type; fields without a value are left out."""

    type: str = ""
    """text, tool, step, citation, done (the last event of a run with an answer) or error (the last event of any other
    run)."""
    text: str = ""
    """A piece of the answer."""
    name: str = ""
    """The name of the tool or the step."""
    state: str = ""
    """The state of the tool or the step: begun, done or failed."""
    arguments: Any = None
    call_id: str = ""
    result: Any = None
    is_repeated: bool = False
    """The step's result was read from the journal; the step wasn't repeated."""
    citation: Citation | None = None
    run: RunResult | None = None
    error: RunFailure | None = None


class AppDeploymentDescription(Description, frozen=True, kw_only=True):
    """An application that is deployed, and the process that serves it."""

    app: str = ""
    version: str = ""
    """The version that was deployed, such as support@3."""
    state: str = ""
    """starting, ready, failed (it is restarted in a moment), stopped, or unknown if no server runs it."""
    serving: str | None = None
    """The version that answers now: the previous one while `version` is starting, or if it can't start."""
    reason: str | None = None
    """The reason that it isn't ready; null if it is."""
    pid: int | None = None
    restarts: int = 0
    """The number of times that its process was restarted because it had ended unexpectedly, since the deployment."""
    num_runs: int = 0
    """The number of runs in progress."""
    is_isolated: bool = False
    """The process is isolated: it can't see the server's files and processes."""
    since: datetime | None = None
    """The time at which it entered this state."""
    candidate: str | None = None
    """The version that is taking over in steps; see `llmos app releases`."""
    candidate_percent: float = 0.0
    """The percentage of the callers that the candidate answers."""
    candidate_state: str | None = None
    """The state of the candidate, with the same values as `state`."""
    candidate_reason: str | None = None
    deployed_at: datetime | None = None
    deployed_by: str | None = None
