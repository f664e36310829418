"""Suite: cases with their checks, and how they are asked. This file says what one is; suite_reading.py reads one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmos.core.schemas.runs import CallMock
from llmos.evals.checks import Check

DEFAULT_MAX_TOKENS = 512
"""Without a limit, one case that never ends would hold up all others."""

MIN_KAPPA = 0.6
"""The least agreement of a judge with labelled cases at which its opinion counts."""

MIN_LABELLED = 10
"""The least number of labelled cases that say how far a judge agrees."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    id: str
    input: Any
    """A text, a conversation as a list of messages, or, for an application, any value."""
    checks: Sequence[Check]
    variables: Mapping[str, Any] = field(default_factory=dict)
    expected: Any = None
    replays: str = ""
    """A recorded run of an application: what its tools returned stands in for them."""
    mocks: Sequence[CallMock] = ()
    """The results of an application's tools and steps, which aren't called."""
    threshold: float = 1.0
    """The share of the weight of its checks that must hold."""

    @property
    def needs_answer(self) -> bool:
        """False for a case that only compares how likely texts are."""
        return any(check.kind.name != "likelihood" for check in self.checks)

    @property
    def is_timed(self) -> bool:
        """It is asked with no other case beside it: its seconds count."""
        return any(check.kind.name == "latency" for check in self.checks)


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledAnswer:
    """An answer of which a person said whether it is right."""

    input: str
    answer: str
    passes: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    """A model that says whether an answer is right, and the labelled answers that say whether to believe it."""

    name: str
    model: str
    """The route or model that is asked."""
    version: str
    """The version that must answer: another one's opinion isn't taken."""
    question: str
    labelled: Sequence[LabelledAnswer] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Gates:
    """The requirements of a run."""

    all_pass: bool = False
    """Every case passes."""
    pass_rate: float | None = None
    """The share of cases that pass: the whole interval of 95 % must be above it."""
    must_pass: Sequence[str] = ()
    """The ids of cases that must pass."""
    beats_baseline: bool = False
    """More cases pass than with the best trivial answer."""
    not_worse_by: float = 0.05
    """The largest amount by which the share may be smaller than that of the version it is compared with."""

    @property
    def is_empty(self) -> bool:
        return not (self.all_pass or self.pass_rate is not None or self.must_pass or self.beats_baseline)


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    name: str
    cases: Sequence[Case]
    digest: str
    """sha256 of the document."""
    document: Mapping[str, Any]
    """The document that the suite was read from: the same document is the same suite."""
    model: str | None = None
    """The model that is asked if a run says nothing else."""
    system: str | None = None
    prompt: str = "{{input}}"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the requests: temperature, max_tokens, tools, response_format, …"""
    judges: Mapping[str, Judge] = field(default_factory=dict)
    gates: Gates = field(default_factory=Gates)
    repeat: int = 1
    effects: bool = False
    """Tools and steps of an application that have effects, and no mock, are called. Otherwise such a case is an error.
    """
