"""Evaluation of knowledge: figures with intervals, and the threshold of answerability."""

from typing import Literal

import msgspec

from llmos.core.schemas.base import Description


class FigureDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with its 95 % interval, and the figures of trivial alternatives on the same questions."""

    name: str
    """recall@1, recall@3, recall@5, recall@10, mrr, or not_in_here_precision, not_in_here_recall, not_in_here_f1."""
    value: float
    low: float
    high: float
    num_hits: int | None = None
    """For a share: the number of hits among `num_cases`."""
    num_cases: int = 0
    baselines: dict[str, float] = msgspec.field(default_factory=dict)
    """The values of alternatives. For searches: text_part, vector_part and hybrid, without the mode in use. For
    answerability: always_answer and never_answer."""
    sentence: str = ""


class ThresholdDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The probability below which a question counts as not answered by the documents."""

    measure: str
    intercept: float
    cosine: float
    """The weight of the largest cosine among the hits."""
    words: float
    """The weight of the largest share of the question's words that one hit has."""
    threshold: float


class MissDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A question that was handled wrongly."""

    question: str
    kind: str
    """not_found, called_unanswerable or called_answerable."""
    expected_document: str | None = None
    expected_quote: str | None = None
    found_document: str | None = None
    """The document of the first hit."""


class KnowledgeEvalDescription(Description, frozen=True, kw_only=True):
    knowledge: str = ""
    """NAME@NUMBER."""
    cases: str = ""
    """The Version of the dataset with the questions."""
    num_answerable: int = 0
    num_unanswerable: int = 0
    figures: list[FigureDescription] = msgspec.field(default_factory=list)
    mode: Literal["hybrid", "text", "vector"] = "hybrid"
    """The default mode of searches, which the figures and the threshold are for."""
    mode_reason: str | None = None
    """The reason that the mode isn't hybrid."""
    threshold: ThresholdDescription | None = None
    no_threshold: str | None = None
    """The reason that there is no threshold."""
    misses: list[MissDescription] = msgspec.field(default_factory=list)
    """The first wrongly handled questions. They aren't stored, because questions may be about persons, so that a report
    that is looked up later has none."""
