"""Text that the called model itself finds far more surprising than ordinary text, such as the nearly random suffixes of
automated attacks: a second opinion beside `prompt_injection`."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, ClassVar

import msgspec

from llmos.security.guardrails import guardrail
from llmos.security.guardrails.guardrail import (
    ALL_CHANNELS,
    Action,
    Channel,
    GuardrailFailed,
    Piece,
    Side,
    Source,
    Stream,
)


class Options(guardrail.Options, frozen=True, kw_only=True):
    deviations: Annotated[float, msgspec.Meta(gt=0, le=100)] = 3.0
    """The number of standard deviations above ordinary texts that makes a hit, by the model that is called; by default
    3."""
    budget_ms: Annotated[float, msgspec.Meta(gt=0, le=60_000)] = 10_000
    """The time for one prompt, by the clock; by default 10000. A version's first call measures ordinary texts, too."""
    sources: Sequence[Source] = ("user", "tool")
    """The texts to screen: those of `user`, `tool`, `assistant`, `system`, and the `definitions` of tools; by default
    what users write, and what tools return."""


class Perplexity:
    """Its texts are judged by the model that is called, before the others screen them; see Screening.judge()."""

    actions: ClassVar[Sequence[Action]] = ("block", "flag")
    sides: ClassVar[Sequence[Side]] = ("input",)
    channels: ClassVar[Sequence[Channel]] = ALL_CHANNELS
    waits: ClassVar[bool] = True
    rule: ClassVar[str] = "unusual_text"

    def __init__(self, deviations: float, sources: Sequence[Source]) -> None:
        self.deviations, self.sources = deviations, sources

    def is_hit(self, surprise: float | None) -> bool:
        """`surprise`: of a text, in standard deviations; None for one that is too short."""
        return surprise is not None and surprise >= self.deviations

    def screen_prompt(self, texts: Sequence[str], sources: Sequence[Source]) -> Iterator[Iterable[Piece]]:
        raise GuardrailFailed("the model that is called must be asked, and none is called here")

    def screen_stream(self) -> Stream:
        raise GuardrailFailed("answers aren't screened")


GUARDRAIL = Perplexity


def open(options: Options) -> Perplexity:
    return Perplexity(options.deviations, options.sources)
