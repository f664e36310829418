"""The language of a text. Texts of a few words can't be told apart and pass."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar

import msgspec

from llmos.core.errors import BadRequest
from llmos.core.suggest import did_you_mean
from llmos.security.guardrails import guardrail
from llmos.security.guardrails.guardrail import (
    ALL_SOURCES,
    BOTH_SIDES,
    Action,
    Channel,
    Hit,
    Piece,
    Side,
    Source,
    pieces_of,
)

RULE = "other_language"

_WINDOW = 200
"""A text is judged in pieces of this many characters, each of which is held back until then."""

_MIN_LETTERS = 24
"""Fewer letters say too little."""


class Options(guardrail.Options, frozen=True, kw_only=True):
    allowed: Sequence[str]
    """The languages, as ISO 639-1 codes: en, zh, de."""
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.95
    """The probability of other languages, together, that makes a hit."""


class Language:
    actions: ClassVar[Sequence[Action]] = ("block", "flag")
    sides: ClassVar[Sequence[Side]] = BOTH_SIDES
    channels: ClassVar[Sequence[Channel]] = ("text", "reasoning")
    sources: Sequence[Source] = ALL_SOURCES
    waits: ClassVar[bool] = False

    def __init__(self, allowed: frozenset[str], confidence: float) -> None:
        self.allowed, self.confidence = allowed, confidence

    def screen_prompt(self, texts: Sequence[str], sources: Sequence[Source]) -> Iterator[Iterable[Piece]]:
        for text in texts:
            yield pieces_of(self.screen_stream(), text)

    def screen_stream(self) -> "_Stream":
        return _Stream(self)

    def is_other(self, text: str) -> bool:
        """Return whether the text is in a language that isn't allowed."""
        num_letters = sum(map(str.isalpha, text))
        # A Chinese, Japanese or Korean character says as much as several letters.
        num_letters += 4 * sum(each >= "\u2e80" for each in text if each.isalpha())
        if num_letters < _MIN_LETTERS or 2 * num_letters < len(text):
            return False
        allowed = sum(share for language, share in _identifier().rank(text) if str(language) in self.allowed)
        return bool(1 - allowed >= self.confidence)


class _Stream:
    def __init__(self, language: Language) -> None:
        self._language = language
        self._held = ""

    def push(self, chunk: str) -> Iterator[Piece]:
        self._held += chunk
        while len(self._held) >= _WINDOW:
            yield from self._judge(_WINDOW)

    def finish(self) -> Iterator[Piece]:
        yield from self._judge(len(self._held))

    def held(self) -> str:
        return self._held

    def _judge(self, length: int) -> Iterator[Piece]:
        window, self._held = self._held[:length], self._held[length:]
        if self._language.is_other(window):
            yield Hit(RULE)
        yield window


GUARDRAIL = Language


def open(options: Options) -> Language:
    if not options.allowed:
        raise BadRequest("`allowed` is empty. Name a language, such as en.", param="allowed")
    known = [str(label) for label in _identifier().labels]
    for code in options.allowed:
        if code not in known:
            raise BadRequest(f"There is no language {code[:80]!r}. {did_you_mean(code, known)}", param="allowed")
    return Language(frozenset(options.allowed), options.confidence)


@cache
def _identifier() -> Any:
    # Loading it takes half a second and 20 MB, and few policies need it.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
