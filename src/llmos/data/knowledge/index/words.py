"""Terms: what the text part of an index stores of a chunk, and looks up for a question.

    terms_of("Die Straßen nach Köln")     die strassen nach koln
    terms_of("searching, searches")       search search
    terms_of("人工智能")                   人 工 智 能 人工 工智 智能
    terms_of("ไทย")                       ไท ทย

Scripts that put no spaces between words are cut into pairs of neighbouring characters, so that no dictionary decides
what can be found.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise

from llmos.data.knowledge.index.stemming import stem

VERSION = 1
"""Raised when the same text gives other terms. Indexes of other versions are built again."""

MAX_TERM_LENGTH = 64
"""Characters. The rest of a longer word is ignored, in chunks and questions alike."""

_CJK = (
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Chinese, Japanese and Korean characters. Korean has spaces, but particles stick to its words: 학교에서, at school."""

_SOUTHEAST_ASIAN = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd\u1000-\u103f\u1780-\u17d3"
"""Thai, Lao, Burmese and Khmer."""

_MARKS = "".join(
    character
    for character in map(chr, (*range(0x0483, 0x20D0), *range(0xA66F, 0xAC00)))
    if unicodedata.category(character) in ("Mn", "Mc")
)
"""Vowel signs and the like, which belong to words although they aren't letters."""

_RUNS = re.compile(
    rf"(?P<cjk>[{_CJK}]+)|(?P<pairs>[{_SOUTHEAST_ASIAN}]+)|(?:[^\W_{_CJK}{_SOUTHEAST_ASIAN}]|[{_MARKS}])+"
)
_ASCII_WORDS = re.compile(r"[a-z0-9]+")
_IGNORED = re.compile(
    "[\u00ad\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u200c\u200d\ufe00-\ufe0f]"
)
"""Accents and points, which writers leave out, and characters that nobody sees."""

_OTHER_DIGITS = re.compile(r"[^\D0-9]")
_PLAIN = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l", "ı": "i", "ħ": "h", "ð": "d", "þ": "th"})
"""Letters that Unicode doesn't decompose."""


def terms_of(text: str) -> Iterator[str]:
    """Yield the terms of a chunk or a question, in order, as often as they occur."""
    if text.isascii():
        yield from map(_term, _ASCII_WORDS.findall(text.lower()))
        return
    for run in _RUNS.finditer(_folded(text)):
        found = run[0]
        if run.lastgroup is None:
            yield _term(found)
            continue
        if len(found) == 1 or run.lastgroup == "cjk":
            yield from found
        yield from map("".join, pairwise(found))


def query_terms(text: str) -> list[str]:
    """Return the different terms of a question, in order."""
    return list(dict.fromkeys(terms_of(text)))


def _term(word: str) -> str:
    word = word[:MAX_TERM_LENGTH]
    return stem(word) if word.isascii() and word.isalpha() else word


def _folded(text: str) -> str:
    """Return the text in one spelling: no case, width, accents or digits of other scripts.

    Composed at the end, since accents of kana and the parts of Hangul syllables stay.
    """
    text = _IGNORED.sub("", unicodedata.normalize("NFKD", text).casefold()).translate(_PLAIN)
    return unicodedata.normalize("NFKC", _OTHER_DIGITS.sub(lambda digit: str(int(digit[0])), text))
