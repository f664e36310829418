"""Sentences: where those of a text begin and end, in languages with and without spaces."""

import re
from collections.abc import Iterator

_BOUNDARY = re.compile(r"(?<=[.!?؟।])[\"'”’»)\]]*\s+(?![a-zß-ÿ])|(?<=[。！？｡])[」』”’）】]*|\n+")
"""The gap between sentences. Closing quotes belong to the sentence before; a small letter after an abbreviation
continues it."""
_ABBREVIATION = re.compile(
    r"(?:(?i:\b(?:mr|mrs|ms|dr|prof|st|vs|ca|approx|e\.g|i\.e|fig|nr|bzw|z\.b|d\.h))|\b[A-Z]|^\s*\d+)\.$", re.MULTILINE
)
"""A full stop that doesn't end a sentence: after an abbreviation, an initial, or the number of a list item."""
_WORD = re.compile(r"[^\W_]")


Span = tuple[int, int]
"""The start and the end of a part of a text, in characters."""


def sentences_in(text: str) -> Iterator[Span]:
    """Yield the sentences of a text, without the spaces around them."""
    first = 0
    for match in _BOUNDARY.finditer(text):
        end = match.end() - len(match[0]) + len(match[0].rstrip())
        if "\n" not in match[0] and _ABBREVIATION.search(text, max(0, match.start() - 12), match.start()):
            continue
        yield from _stripped(text, first, end)
        first = match.end()
    yield from _stripped(text, first, len(text))


def _stripped(text: str, start: int, end: int) -> Iterator[Span]:
    sentence = text[start:end]
    if _WORD.search(sentence):
        yield start + len(sentence) - len(sentence.lstrip()), start + len(sentence.rstrip())
