"""MatchGuardrail: a guardrail that looks for the matches of rules."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from llmos.security.guardrails.guardrail import (
    ALL_ACTIONS,
    ALL_CHANNELS,
    ALL_SOURCES,
    BOTH_SIDES,
    Action,
    Channel,
    Piece,
    Side,
    Source,
    Stream,
    pieces_of,
)
from llmos.security.guardrails.scanner import Rule, RuleSet, Scanner


class MatchGuardrail:
    actions: ClassVar[Sequence[Action]] = ALL_ACTIONS
    sides: ClassVar[Sequence[Side]] = BOTH_SIDES
    channels: ClassVar[Sequence[Channel]] = ALL_CHANNELS
    sources: Sequence[Source] = ALL_SOURCES
    waits: ClassVar[bool] = False

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = RuleSet(rules)

    def finds_nothing(self, texts: Sequence[str]) -> bool:
        return self.rules.match_none_of(texts)

    def screen_prompt(self, texts: Sequence[str], sources: Sequence[Source]) -> Iterator[Iterable[Piece]]:
        # Most prompts have no match in any of their texts.
        if self.rules.match_none_of(texts):
            yield from ((text,) for text in texts)
            return
        for text in texts:
            yield pieces_of(self.screen_stream(), text)

    def screen_stream(self) -> Stream:
        return Scanner(self.rules)
