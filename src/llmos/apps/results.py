"""The results of runs, and the events of their streams."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from llmos.core.schemas.hosted_apps import LeftOut
from llmos.core.schemas.knowledge import Citation, Sentence, citations_of
from llmos.core.schemas.runs import RunUsage, StepDescription


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run that has ended with an answer, or waits for somebody."""

    id: str
    app: str
    state: Literal["succeeded", "waiting", "ready"]
    """ready: it can be continued, and this process has given up to."""
    text: str = ""
    output: Any = None
    """An object of the app's `output` type; without one, the text."""
    sentences: Sequence[Sentence] = ()
    """The sentences of an answer from documents, each with its citations."""
    notes: Sequence[str] = ()
    """Remarks for the reader of the answer, such as why it has no citations."""
    steps: Sequence[StepDescription] = ()
    """The steps of the run, in order."""
    usage: RunUsage = field(default_factory=RunUsage)
    cost: int | None = None
    """The cost of its calls of models, in billionths of `currency`. None if no price applies, or prices in several
    currencies apply."""
    currency: str = ""
    session: str | None = None
    """The name of the session."""
    left_out: LeftOut | None = None
    abstained: bool = False
    """The documents don't answer this, and the app said so."""
    handoff: Any = None
    """The id of the handoff in the queue, or what the function for handoffs returned."""
    finish_reason: str = ""
    """`stop`, or `length` if the text was cut at max_tokens."""
    waits_for: str | None = None
    """The name of the signal that the run waits for: a name from `wait_for`, `confirm:CALL_ID`, or
    `in_doubt:STEP_KEY`."""
    waits_with: Any = None
    """The information for the person who decides about the signal."""

    @property
    def citations(self) -> Sequence[Citation]:
        """The passages of documents that the answer quotes, or that its sentences are based on, each once."""
        return citations_of(self.sentences)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True, slots=True)
class TextEvent:
    """A piece of the answer."""

    type: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolEvent:
    """A call of a tool, once when it begins and once when it has ended."""

    type: ClassVar[str] = "tool"
    name: str
    arguments: Any
    call_id: str
    state: Literal["begun", "done", "failed"]
    result: str = ""
    """The text that the model gets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CitationEvent:
    type: ClassVar[str] = "citation"
    citation: Citation


@dataclass(frozen=True, kw_only=True, slots=True)
class StepEvent:
    """A step that has ended."""

    type: ClassVar[str] = "step"
    name: str
    state: Literal["done", "failed"]
    result: Any = None
    is_repeated: bool = False
    """Its result comes out of the journal: an earlier process did it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DoneEvent:
    """The last event."""

    type: ClassVar[str] = "done"
    run: Run


Event = TextEvent | ToolEvent | CitationEvent | StepEvent | DoneEvent
