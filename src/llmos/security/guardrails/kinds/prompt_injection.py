"""Attempts to make a model follow somebody else's instructions, in what users write and in what tools return."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, ClassVar

import msgspec

from llmos.security.guardrails import guardrail
from llmos.security.guardrails.guardrail import ALL_CHANNELS, Action, Channel, Hit, Piece, Side, Source
from llmos.security.guardrails.injection_rules import CONTROL_TOKENS, matching_rules
from llmos.security.guardrails.ngrams import NgramModel, load_model
from llmos.security.guardrails.normalization import hidden_text, views
from llmos.security.guardrails.windows import WindowStream, windows_of

WINDOW = 400
"""A text is judged some sentences at a time, so that an attack in a long document isn't lost in it."""

RULE = "prompt_injection"
HIDDEN, CONTROL = "hidden_text", "control_tokens"


class Options(guardrail.Options, frozen=True, kw_only=True):
    threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    """The probability from which on a passage is a hit; by default that of the report. Higher: fewer hits."""
    sources: Sequence[Source] = ("user", "tool")
    """The texts to screen: those of `user`, `tool`, `assistant`, `system`, and the `definitions` of tools; by default
    what users write, and what tools return."""


class PromptInjection:
    actions: ClassVar[Sequence[Action]] = ("block", "mask", "flag")
    sides: ClassVar[Sequence[Side]] = ("input",)
    channels: ClassVar[Sequence[Channel]] = ALL_CHANNELS
    waits: ClassVar[bool] = False

    def __init__(self, model: NgramModel, threshold: float, sources: Sequence[Source]) -> None:
        self._model, self._threshold = model, threshold
        self.sources = sources

    def screen_prompt(self, texts: Sequence[str]) -> Iterator[Iterable[Piece]]:
        for text in texts:
            yield (piece for window in windows_of(text, WINDOW) for piece in self._judge(window))

    def screen_stream(self) -> WindowStream:
        return WindowStream(self._judge, WINDOW)

    def _judge(self, window: str) -> Iterator[Piece]:
        rule = self._rule(window)
        yield window if rule is None else Hit(rule, window)

    def _rule(self, window: str) -> str | None:
        """Return what is wrong with a window."""
        if hidden_text(window):
            return HIDDEN
        if CONTROL_TOKENS.search(window):
            return CONTROL
        for _, view in views(window):
            if self._model.probability(view, matching_rules(view)) >= self._threshold:
                return RULE
        return None


GUARDRAIL = PromptInjection


def open(options: Options) -> PromptInjection:
    model = load_model("prompt_injection")
    threshold = model.threshold if options.threshold is None else options.threshold
    return PromptInjection(model, threshold, options.sources)
