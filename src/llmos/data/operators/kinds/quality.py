"""Rules about length, symbols, repetition and boilerplate, which find text that nobody wrote for a reader.

Numbers and names of the rules are those of Rae et al. 2021 (Gopher, appendix A), where they have them; `lorem ipsum` is
from Raffel et al. 2020 (C4). Rules about the length of texts hardly bind unless a recipe sets them, since conversations
are short.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import msgspec

from llmos.data.datasets.rows import Row
from llmos.data.operators import operator
from llmos.data.operators.operator import Context, Dropped, RowOperator
from llmos.data.operators.words import words_of

VERSION = 1

_BULLETS = ("•", "‣", "·", "*", "-", "–", "○", "●")
_ELLIPSES = ("...", "…")
_SYMBOLS = re.compile(r"#|\.\.\.|…")
_MIN_WORDS_OF_SHARES = 20
"""Shares of fewer words or lines say nothing."""
_MIN_LINES_OF_SHARES = 4

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Options(operator.Options, frozen=True, kw_only=True):
    min_words: Annotated[int, msgspec.Meta(ge=0)] = 1
    """Gopher: 50."""
    max_words: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    min_mean_word_length: float = 0
    """Characters. Gopher: 3. Chinese, Japanese and Korean characters aren't counted."""
    max_mean_word_length: float = 15
    """Gopher: 10. More means that spaces are missing, or that it isn't language."""
    max_symbols_per_word: float = 0.1
    """# and ellipses."""
    max_bullet_lines: Share = 0.9
    """The share of lines that begin with a bullet."""
    max_ellipsis_lines: Share = 0.3
    """The share of lines that end with an ellipsis."""
    min_alphabetic_words: Share = 0.6
    """The share of words with a letter. Gopher: 0.8, too much for code and tables."""
    max_duplicate_lines: Share = 0.3
    """The share of lines that stand there before."""
    max_duplicate_line_characters: Share = 0.2
    """The share of characters in such lines."""
    max_frequent_pair: Share = 0.2
    """The share of characters in the most frequent pair of words."""
    lorem_ipsum: bool = True
    """Drop rows with the printers' filler text."""


Rule = Callable[["Text", Options], str | None]
"""Return a sentence about what is wrong, None if nothing is."""


class Text:
    """A text and its parts."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = words_of(text)
        self.lines = [line.strip() for line in text.splitlines() if line.strip()]

    @property
    def has_shares(self) -> bool:
        return len(self.words) >= _MIN_WORDS_OF_SHARES

    @property
    def has_lines(self) -> bool:
        return len(self.lines) >= _MIN_LINES_OF_SHARES


class Quality(RowOperator):
    name: ClassVar[str] = "quality"

    def __init__(self, options: Options) -> None:
        self._options = options

    def decide(self, row: Row) -> Row | Dropped:
        text = Text("\n".join(row.texts))
        for reason, rule in RULES.items():
            if (detail := rule(text, self._options)) is not None:
                return Dropped(reason, detail)
        return row


def too_short(text: Text, options: Options) -> str | None:
    count = len(text.words)
    return _below(count, options.min_words, "word" if count == 1 else "words")


def too_long(text: Text, options: Options) -> str | None:
    return _above(len(text.words), options.max_words, "words")


def word_length(text: Text, options: Options) -> str | None:
    lengths = [len(word) for word in text.words if len(word) > 1 or word.isascii()]
    if len(lengths) < _MIN_WORDS_OF_SHARES:
        return None
    mean = sum(lengths) / len(lengths)
    what = "characters in the mean word"
    return _below(mean, options.min_mean_word_length, what) or _above(mean, options.max_mean_word_length, what)


def symbols(text: Text, options: Options) -> str | None:
    if not text.has_shares:
        return None
    return _above(len(_SYMBOLS.findall(text.text)) / len(text.words), options.max_symbols_per_word, "symbols per word")


def bullets(text: Text, options: Options) -> str | None:
    return _share_of_lines(text, options.max_bullet_lines, lambda line: line.startswith(_BULLETS), "are bullets")


def ellipses(text: Text, options: Options) -> str | None:
    return _share_of_lines(text, options.max_ellipsis_lines, lambda line: line.endswith(_ELLIPSES), "are cut off")


def not_language(text: Text, options: Options) -> str | None:
    if not text.has_shares:
        return None
    share = sum(any(map(str.isalpha, word)) for word in text.words) / len(text.words)
    return _below(share, options.min_alphabetic_words, "of the words have a letter")


def repeated_lines(text: Text, options: Options) -> str | None:
    if not text.has_lines:
        return None
    repeated = _repeated(text.lines)
    share = len(repeated) / len(text.lines)
    of_characters = sum(map(len, repeated)) / sum(map(len, text.lines))
    return _above(share, options.max_duplicate_lines, "of the lines stand there before") or _above(
        of_characters, options.max_duplicate_line_characters, "of the characters are in lines that stand there before"
    )


def repeated_words(text: Text, options: Options) -> str | None:
    if not text.has_shares:
        return None
    (first, second), count = Counter(zip(text.words, text.words[1:], strict=False)).most_common(1)[0]
    share = count * (len(first) + len(second)) / sum(map(len, text.words))
    if count == 1:
        return None
    return _above(min(share, 1.0), options.max_frequent_pair, f"of the characters are in “{first} {second}”"[:200])


def boilerplate(text: Text, options: Options) -> str | None:
    return "lorem ipsum" if options.lorem_ipsum and "lorem ipsum" in text.text.casefold() else None


RULES: dict[str, Rule] = {
    "too_short": too_short,
    "too_long": too_long,
    "word_length": word_length,
    "symbols": symbols,
    "bullets": bullets,
    "ellipses": ellipses,
    "not_language": not_language,
    "repeated_lines": repeated_lines,
    "repeated_words": repeated_words,
    "boilerplate": boilerplate,
}
"""Reason -> rule, in the order in which they are tried."""


def _share_of_lines(text: Text, most: float, has: Callable[[str], bool], what: str) -> str | None:
    return _above(sum(map(has, text.lines)) / len(text.lines), most, f"of the lines {what}") if text.has_lines else None


def _repeated(lines: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    repeated = []
    for line in lines:
        if line in seen:
            repeated.append(line)
        seen.add(line)
    return repeated


def _below(value: float, least: float, what: str) -> str | None:
    return f"{value:.4g} {what}; the least is {least:g}" if value < least else None


def _above(value: float, most: float, what: str) -> str | None:
    return f"{value:.4g} {what}; the most is {most:g}" if value > most else None


def open(options: Options, context: Context) -> Quality:
    return Quality(options)
