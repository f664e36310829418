"""The length of a prompt, or of a text of an answer, in characters."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, ClassVar

import msgspec

from llmos.security.guardrails import guardrail
from llmos.security.guardrails.guardrail import (
    ALL_CHANNELS,
    ALL_SOURCES,
    BOTH_SIDES,
    Action,
    Channel,
    Hit,
    Piece,
    Side,
    Source,
)

RULE = "excess_length"


class Options(guardrail.Options, frozen=True, kw_only=True):
    characters: Annotated[int, msgspec.Meta(ge=1)]
    """The most characters of all texts of a prompt together, and of the answer, its reasoning and each call's
    arguments, each."""


class MaxLength:
    actions: ClassVar[Sequence[Action]] = ("block", "flag")
    sides: ClassVar[Sequence[Side]] = BOTH_SIDES
    channels: ClassVar[Sequence[Channel]] = ALL_CHANNELS
    sources: Sequence[Source] = ALL_SOURCES
    waits: ClassVar[bool] = False

    def __init__(self, characters: int) -> None:
        self._characters = characters

    def finds_nothing(self, texts: Sequence[str]) -> bool:
        return sum(map(len, texts)) <= self._characters

    def screen_prompt(self, texts: Sequence[str], sources: Sequence[Source]) -> Iterator[Iterable[Piece]]:
        is_long = sum(map(len, texts)) > self._characters
        for i, text in enumerate(texts):
            yield [Hit(RULE), text] if is_long and i == 0 else [text]

    def screen_stream(self) -> "_Stream":
        return _Stream(self._characters)


class _Stream:
    def __init__(self, left: int) -> None:
        self._left = left

    def push(self, chunk: str) -> Iterator[Piece]:
        before, self._left = self._left, self._left - len(chunk)
        if before < 0 or self._left >= 0:
            yield chunk
        else:
            yield chunk[:before]
            yield Hit(RULE)
            yield chunk[before:]

    def finish(self) -> Iterator[Piece]:
        return iter(())

    def held(self) -> str:
        return ""


GUARDRAIL = MaxLength


def open(options: Options) -> MaxLength:
    return MaxLength(options.characters)
