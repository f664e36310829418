"""Rows that are there already: the first stays."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from llmos.data.datasets.rows import Row
from llmos.data.operators import operator
from llmos.data.operators.kinds._questions import question_of
from llmos.data.operators.operator import Context, Drop, Dropped, Item
from llmos.data.operators.words import words_of

VERSION = 1


class Options(operator.Options, frozen=True, kw_only=True):
    by: Literal["content", "words", "question"] = "content"
    """The part that is equal: the whole content; its words, whatever their case and punctuation; or the words of the
    question, whatever the answer."""


class ExactDuplicates:
    reads_twice: ClassVar[bool] = False

    def __init__(self, options: Options) -> None:
        self._by = options.by

    def apply(self, items: Iterable[Item], drop: Drop) -> Iterator[Item]:
        firsts: dict[bytes, str] = {}
        for item in items:
            key = self._key(item.row)
            if (first := firsts.get(key)) is not None:
                drop(item, Dropped("duplicate", f"the same as {first[:12]}"))
                continue
            firsts[key] = item.source
            yield item

    def _key(self, row: Row) -> bytes:
        if self._by == "content":
            return bytes.fromhex(row.id)
        texts = row.texts if self._by == "words" else [question_of(row.content)]
        words = " ".join(word for text in texts for word in words_of(text))
        # A text without any word, such as a row of symbols, equals itself alone.
        return hashlib.sha256(words.encode()).digest() if words else bytes.fromhex(row.id)


def open(options: Options, context: Context) -> ExactDuplicates:
    return ExactDuplicates(options)
