"""Check, Finding and Subject: what a check is, what it says, and what it is about."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from llmos.core.errors import BadRequest
from llmos.evals.answers import Answer


class Finding(NamedTuple):
    holds: bool
    text: str
    """The finding, and the reason for it: "it lacks 'two years'"."""


class Unchecked(Exception):
    """A check couldn't be made: its judge, model or sandbox failed. The case is an error then, and hasn't failed."""


class AnswerFailed(Exception):
    """An application ended without an answer, by itself: the case has failed."""


class Helpers(Protocol):
    """The services that checks need besides the answer. Any of them raises Unchecked where it isn't there."""

    async def embed(self, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]: ...

    async def likelihood(self, case: "Subject", options: Sequence[str]) -> Sequence[float]:
        """Return the log probability of each option behind the prompt of a case, for each of its tokens."""

    async def judge(self, name: str, case: "Subject") -> Finding: ...

    async def run_python(self, program: str) -> str:
        """Run a program in a sandbox. Return why it failed; empty if it didn't."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The subject of a check."""

    answer: Answer
    input: Any = ""
    expected: Any = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    helpers: Helpers | None = None

    @property
    def help(self) -> Helpers:
        if self.helpers is None:
            raise Unchecked("This run asks no models and runs no programs.")
        return self.helpers


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of check."""

    name: str
    read: Callable[[Any], Any]
    """Returns the value as the test takes it. Raises ValueError that says what it must be."""
    test: Callable[[Any, Subject], Finding] | None = None
    asks: Callable[[Any, Subject], Awaitable[Finding]] | None = None
    """The test of a kind that asks a model or runs a program."""
    is_of_text: bool = False
    """It looks at the answer's text alone."""
    splits: bool = False
    """A list as its value stands for a check of each item."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    kind: Kind
    value: Any
    negated: bool = False
    weight: float = 1.0

    @property
    def name(self) -> str:
        return f"not_{self.kind.name}" if self.negated else self.kind.name

    def find(self, subject: Subject) -> Finding:
        """Return what a check of the text or of figures finds. `holds`: the check, with its negation."""
        assert self.kind.test is not None, "the kind asks nobody"
        holds, text = self.kind.test(self.value, subject)
        return Finding(holds != self.negated, text)

    async def ask(self, subject: Subject) -> Finding:
        """Return what any check finds. Raises Unchecked."""
        if self.kind.asks is None:
            return self.find(subject)
        holds, text = await self.kind.asks(self.value, subject)
        return Finding(holds != self.negated, text)


def shown(value: Any, length: int = 80) -> str:
    """Return a value as a message shows it."""
    text = repr(value)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def text_of(value: Any) -> str:
    if not isinstance(value, str):
        hint = ": put it into quotes" if isinstance(value, bool | int | float) else ""
        raise ValueError(f"must be a text, not {shown(value, 40)}{hint}")
    if not value:
        raise ValueError("is empty: every text has it")
    return value


def number_of(
    value: Any, *, above: float | None = None, least: float | None = None, most: float | None = None
) -> float:
    """Return a number within limits. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, not {shown(value, 40)}")
    if above is not None and value <= above:
        raise ValueError(f"is {value:g}, and no answer has so little: it must be above {above:g}")
    if least is not None and value < least:
        raise ValueError(f"is {value:g}: it must be at least {least:g}")
    if most is not None and value > most:
        raise ValueError(f"is {value:g}, which none reaches: it must be at most {most:g}")
    return float(value)


def fields_of(value: Any, needed: Mapping[str, str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """Return the fields of an object. Raises ValueError for a missing or unknown one. `needed`: {name: an example}."""
    form = "{" + ", ".join(f"{name}: {example}" for name, example in needed.items()) + "}"
    if not isinstance(value, dict):
        raise ValueError(f"must be an object such as {form}")
    for name in needed:
        if name not in value:
            raise ValueError(f"needs `{name}`, as in {form}")
    for name in value:
        if name not in needed and name not in optional:
            known = ", ".join([*needed, *optional])
            raise ValueError(f"has no field `{name}`. It has: {known}")
    return dict(value)


def wrong(where: str, name: str, error: ValueError) -> BadRequest:
    """Return the error of a check whose value is wrong."""
    return BadRequest(f"{where}: `{name}` {error}.", param="checks")
