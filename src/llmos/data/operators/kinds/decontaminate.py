"""Rows that contain the questions of an evaluation: a model that is trained on them has seen the test.

Sequences of 13 words (Brown et al. 2020, appendix C) find candidates, and then exact spans decide: how much of a
question stands in the row, word for word, and whether its answer does, too. A shared quotation is no contamination.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from llmos.core.errors import BadRequest
from llmos.data.datasets.rows import Row
from llmos.data.operators import operator
from llmos.data.operators.kinds._questions import answer_of, question_of
from llmos.data.operators.operator import Context, Dropped, RowOperator
from llmos.data.operators.word_hashes import Hashes, hashes_of_words, sequence_hashes
from llmos.data.operators.words import words_of

VERSION = 1


class Options(operator.Options, frozen=True, kw_only=True):
    against: Sequence[str]
    """The datasets of evaluations, such as gold@1."""
    sequence_length: Annotated[int, msgspec.Meta(ge=3, le=50)] = 13
    """Words of a sequence that makes a candidate. Shorter questions are looked for as a whole."""
    min_words: Annotated[int, msgspec.Meta(ge=1)] = 5
    """Questions with fewer words aren't looked for: they stand everywhere."""
    min_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.7
    """The share of a question's words that stand in the row in one span."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question of an evaluation."""

    source: str
    """The dataset, and the beginning of the row's id."""
    words: list[str]
    answer: list[str]


class Decontaminate(RowOperator):
    name: ClassVar[str] = "decontaminate"

    def __init__(self, options: Options, questions: Iterable[Question]) -> None:
        self._options = options
        self._by_sequence: dict[int, dict[int, list[tuple[Question, int]]]] = defaultdict(dict)
        """Length of a sequence -> its hash -> the questions that have it, and where."""
        for question in questions:
            self._add(question)
        self._hashes_of = {
            length: np.fromiter(known, np.uint64, len(known)) for length, known in self._by_sequence.items()
        }

    def _add(self, question: Question) -> None:
        if len(question.words) < self._options.min_words:
            return
        length = min(self._options.sequence_length, len(question.words))
        found = self._by_sequence[length]
        for place, each in enumerate(sequence_hashes(hashes_of_words(question.words), length).tolist()):
            found.setdefault(each, []).append((question, place))

    def decide(self, row: Row) -> Row | Dropped:
        words = words_of("\n".join(row.texts))
        hashes = hashes_of_words(words)
        found = [each for length in self._by_sequence for each in self._find(words, hashes, length)]
        if not found:
            return row
        return max(found, key=lambda each: (each.share, each.has_answer)).as_dropped()

    def _find(self, words: list[str], hashes: Hashes, length: int) -> "Iterator[_Found]":
        """Yield the questions of which the words have enough, among those with a common sequence of this length."""
        if length > len(words):
            return
        sequences = sequence_hashes(hashes, length)
        for place in np.flatnonzero(np.isin(sequences, self._hashes_of[length])).tolist():
            for question, within in self._by_sequence[length][int(sequences[place])]:
                begin, end = _span(words, place, question.words, within, length)
                share = (end - begin) / len(question.words)
                if share >= self._options.min_share:
                    has_answer = bool(question.answer) and _contains(words[end:], question.answer)
                    yield _Found(question, share, has_answer, " ".join(words[begin:end]))


@dataclass(frozen=True, slots=True)
class _Found:
    question: Question
    share: float
    has_answer: bool
    quoted: str

    def as_dropped(self) -> Dropped:
        quoted = f"{self.quoted[:300]}{'…' if len(self.quoted) > 300 else ''}"
        reason = "question_and_answer" if self.has_answer else "question"
        return Dropped(reason, f"{self.share:.0%} of the question {self.question.source}: “{quoted}”")


def _span(words: list[str], place: int, others: list[str], other_place: int, length: int) -> tuple[int, int]:
    """Return the longest span of `words` around a place that is equal to `others` around its place; (0, 0) for none."""
    if words[place : place + length] != others[other_place : other_place + length]:
        return 0, 0
    before = 0
    while before < min(place, other_place) and words[place - before - 1] == others[other_place - before - 1]:
        before += 1
    end, other_end = place + length, other_place + length
    while end < len(words) and other_end < len(others) and words[end] == others[other_end]:
        end, other_end = end + 1, other_end + 1
    return place - before, end


def _contains(words: list[str], sought: list[str]) -> bool:
    return any(words[i : i + len(sought)] == sought for i in range(len(words) - len(sought) + 1))


def open(options: Options, context: Context) -> Decontaminate:
    if not options.against:
        raise BadRequest("`against` is empty. Name a dataset of an evaluation, such as gold@1.", param="against")
    return Decontaminate(
        options,
        (
            Question(f"{reference} {row.id[:12]}", words_of(question_of(row.content)), words_of(answer_of(row.content)))
            for reference in options.against
            for row in context.rows_of(reference)
        ),
    )
