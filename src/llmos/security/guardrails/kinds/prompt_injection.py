"""Attempts to make a model follow somebody else's instructions, in what users write and in what tools return."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Annotated, ClassVar

import msgspec

from llmos.security.guardrails import guardrail
from llmos.security.guardrails.guardrail import ALL_CHANNELS, Action, Channel, Hit, Piece, Side, Source
from llmos.security.guardrails.injection_rules import CONTROL_TOKENS, readings
from llmos.security.guardrails.linear_model import LinearModel, load_model
from llmos.security.guardrails.normalization import hidden_text
from llmos.security.guardrails.windows import WindowStream, windows_of

WINDOW = 400
"""A text is judged some sentences at a time, so that an attack in a long document isn't lost in it."""

RULE = "prompt_injection"
HIDDEN, CONTROL = "hidden_text", "control_tokens"


class Options(guardrail.Options, frozen=True, kw_only=True):
    threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    """The probability from which on a passage is a hit; by default those of the report, a lower one for what tools
    return, which has less reason to give orders. Higher: fewer hits."""
    sources: Sequence[Source] = ("user", "tool")
    """The texts to screen: those of `user`, `tool`, `assistant`, `system`, and the `definitions` of tools; by default
    what users write, and what tools return."""


class PromptInjection:
    actions: ClassVar[Sequence[Action]] = ("block", "mask", "flag")
    sides: ClassVar[Sequence[Side]] = ("input",)
    channels: ClassVar[Sequence[Channel]] = ALL_CHANNELS
    waits: ClassVar[bool] = False

    def __init__(self, model: LinearModel, options: Options) -> None:
        self._model, self.sources = model, options.sources
        self._threshold = model.threshold if options.threshold is None else options.threshold
        self._tool_threshold = model.tool_threshold if options.threshold is None else options.threshold

    def screen_prompt(self, texts: Sequence[str], sources: Sequence[Source]) -> Iterator[Iterable[Piece]]:
        for text, source in zip(texts, sources, strict=True):
            threshold = self._tool_threshold if source == "tool" else self._threshold
            yield (piece for window in windows_of(text, WINDOW) for piece in self._judge(window, threshold))

    def screen_stream(self) -> WindowStream:
        return WindowStream(partial(self._judge, threshold=self._threshold), WINDOW)

    def _judge(self, window: str, threshold: float) -> Iterator[Piece]:
        rule = self._rule(window, threshold)
        yield window if rule is None else Hit(rule, window)

    def _rule(self, window: str, threshold: float) -> str | None:
        """Return what is wrong with a window."""
        if hidden_text(window):
            return HIDDEN
        if CONTROL_TOKENS.search(window):
            return CONTROL
        for text, rules in readings(window):
            if self._model.probability(text, rules) >= threshold:
                return RULE
        return None


GUARDRAIL = PromptInjection


def open(options: Options) -> PromptInjection:
    return PromptInjection(load_model("prompt_injection"), options)
