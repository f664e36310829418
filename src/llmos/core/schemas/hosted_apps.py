"""Hosted applications: the result of a run, the events of its stream, and the state of what is deployed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description
from llmos.core.schemas.knowledge import Citation, Sentence, citations_of
from llmos.core.schemas.runs import RunFailure, RunUsage, StepDescription


class LeftOut(Description, frozen=True, kw_only=True):
    """The turns of a session that the prompts of a run didn't have."""

    num_turns: int = 0
    """From the beginning of the session."""
    is_summarized: bool = False
    """A summary stood in their place."""


class RunResult(Description, frozen=True, kw_only=True):
    """A run that has ended with an answer, or that waits."""

    id: str = ""
    app: str = ""
    state: str = ""
    """succeeded, waiting or ready."""
    text: str = ""
    output: Any = None
    """An object of the app's type of answers; without one, the text."""
    sentences: list[Sentence] = msgspec.field(default_factory=list)
    """Those of an answer out of documents."""
    notes: list[str] = msgspec.field(default_factory=list)
    """What whoever reads the answer should know."""
    steps: list[StepDescription] = msgspec.field(default_factory=list)
    usage: RunUsage = RunUsage()
    cost: int | None = None
    """What its calls of models cost, in billionths of the currency; null where nothing has a price."""
    currency: str = ""
    session: str | None = None
    """The name of its session."""
    left_out: LeftOut | None = None
    abstained: bool = False
    """The documents don't answer this, and the app said so."""
    handoff: Any = None
    """The id of the handoff in the queue, or what the application's function for handoffs returned."""
    finish_reason: str = ""
    """`stop`, or `length` if the text was cut at max_tokens."""
    waits_for: str | None = None
    waits_with: Any = None
    """What the person who decides must know."""

    @property
    def citations(self) -> Sequence[Citation]:
        """The places that its sentences rest on, each once."""
        return citations_of(self.sentences)


class RunEvent(Description, frozen=True, kw_only=True, omit_defaults=True):
    """One event of a run. Which fields it has depends on its type; those without a value are left out."""

    type: str = ""
    """text, tool, step, citation, done (the last one of a run with an answer) or error (the last one of any other)."""
    text: str = ""
    """A piece of the answer."""
    name: str = ""
    """Of a tool or a step."""
    state: str = ""
    """Of a tool or a step: begun, done or failed."""
    arguments: Any = None
    call_id: str = ""
    result: Any = None
    is_repeated: bool = False
    """The step's result comes out of the journal."""
    citation: Citation | None = None
    run: RunResult | None = None
    error: RunFailure | None = None


class AppDeploymentDescription(Description, frozen=True, kw_only=True):
    """An application that is deployed, and the process that serves it."""

    app: str = ""
    version: str = ""
    """The version that is wanted, such as support@3."""
    state: str = ""
    """starting, ready, failed (it is started again in a moment), stopped, or unknown where no server runs it."""
    serving: str | None = None
    """The version that answers now: another one while a new one starts, or can't."""
    reason: str | None = None
    """Why it isn't ready."""
    pid: int | None = None
    restarts: int = 0
    """How often its process has ended by itself since it was deployed."""
    num_runs: int = 0
    """The runs that its process has now."""
    is_isolated: bool = False
    """Its process can't see the server's files and processes."""
    since: datetime | None = None
    """The time at which it entered this state."""
    candidate: str | None = None
    """The version that takes over in steps; see `llmos app releases`."""
    candidate_percent: float = 0.0
    """The share of the callers that it answers."""
    candidate_state: str | None = None
    """As `state`."""
    candidate_reason: str | None = None
    deployed_at: datetime | None = None
    deployed_by: str | None = None
