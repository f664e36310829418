"""Hate against groups of people in English; threats, insults, slurs and vulgar words in several languages."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from llmos.core.errors import BadRequest
from llmos.core.suggest import did_you_mean
from llmos.security.guardrails import guardrail
from llmos.security.guardrails.guardrail import BOTH_SIDES, Action, Channel, Hit, Piece, Side, Source, pieces_of
from llmos.security.guardrails.normalization import views
from llmos.security.guardrails.toxic_words import has_slur, is_vulgar, without_groups
from llmos.security.guardrails.toxicity_rules import find
from llmos.security.guardrails.windows import WindowStream

WINDOW = 200
"""A text is judged some sentences at a time."""

RULES = ("hate", "threat", "insult", "slur", "vulgar")


class Options(guardrail.Options, frozen=True, kw_only=True):
    rules: Sequence[str] = ("hate", "threat", "insult", "slur")
    """The rules to apply: `hate` against groups of people, `threat`, `insult`, `slur`, `vulgar` words; by default all
    but the last."""
    sources: Sequence[Source] = ("user", "assistant", "tool")
    """The texts of a prompt to screen: those of `user`, `assistant`, `tool`, `system`, and the `definitions` of tools;
    by default the first three."""


class Toxicity:
    actions: ClassVar[Sequence[Action]] = ("block", "mask", "flag")
    sides: ClassVar[Sequence[Side]] = BOTH_SIDES
    channels: ClassVar[Sequence[Channel]] = ("text", "reasoning")
    waits: ClassVar[bool] = False

    def __init__(self, options: Options) -> None:
        self._rules, self.sources = frozenset(options.rules), options.sources

    def screen_prompt(self, texts: Sequence[str], sources: Sequence[Source]) -> Iterator[Iterable[Piece]]:
        for text in texts:
            yield pieces_of(self.screen_stream(), text)

    def screen_stream(self) -> WindowStream:
        return WindowStream(self._judge, WINDOW)

    def _judge(self, window: str) -> Iterator[Piece]:
        rule = self._rule(window)
        yield window if rule is None else Hit(rule, window)

    def _rule(self, window: str) -> str | None:
        """Return what is wrong with a window."""
        for _, view in views(window):
            if "slur" in self._rules and has_slur(view):
                return "slur"
            if "vulgar" in self._rules and is_vulgar(view):
                return "vulgar"
            if (rule := find(without_groups(view))) in self._rules:
                return rule
        return None


GUARDRAIL = Toxicity


def open(options: Options) -> Toxicity:
    if not options.rules:
        raise BadRequest("`rules` is empty. Leave it out to look for hate, threats, insults and slurs.", param="rules")
    for rule in options.rules:
        if rule not in RULES:
            raise BadRequest(f"There is no rule {rule[:80]!r}. {did_you_mean(rule, RULES)}", param="rules")
    return Toxicity(options)
