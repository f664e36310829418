"""Judging of one search: at which rank is what the question asks for?"""

from collections.abc import Sequence
from typing import NamedTuple

from llmos.data.knowledge.evaluation.answerability import DEPTH as EVIDENCE_DEPTH
from llmos.data.knowledge.evaluation.answerability import Evidence, evidence_of
from llmos.data.knowledge.evaluation.cases import Expected, KnowledgeCase

DEPTH = 10
"""How many hits of each search are judged."""


class JudgedHit(NamedTuple):
    document: str
    text: str
    cosine: float | None = None


class Hits(NamedTuple):
    """The first hits of three searches for one question."""

    both: Sequence[JudgedHit]
    text: Sequence[JudgedHit]
    """Of the text part alone."""
    vector: Sequence[JudgedHit]
    """Of the vector part alone."""

    def evidence(self, question: str) -> Evidence:
        first = [*self.text[:EVIDENCE_DEPTH], *self.vector[:EVIDENCE_DEPTH]]
        return evidence_of(question, [(hit.text, hit.cosine) for hit in first])


class Ranks(NamedTuple):
    """The rank of the first right hit in each search, from 1; None if no hit is right."""

    both: int | None
    text: int | None
    vector: int | None


class Judged(NamedTuple):
    case: KnowledgeCase
    ranks: Ranks
    evidence: Evidence
    first_document: str | None

    @property
    def is_answerable(self) -> bool:
        return self.case.expected is not None


def judge(case: KnowledgeCase, hits: Hits) -> Judged:
    """Judge the hits of a case."""
    return Judged(
        case,
        Ranks(*(_rank(case.expected, each) for each in hits)),
        hits.evidence(case.question),
        hits.both[0].document if hits.both else None,
    )


def _rank(expected: Expected | None, hits: Sequence[JudgedHit]) -> int | None:
    if expected is None:
        return None
    quote = _plain(expected.quote or "")
    for rank, hit in enumerate(hits[:DEPTH], 1):
        if expected.document in (None, hit.document) and _shares(quote, _plain(hit.text)):
            return rank
    return None


def _shares(quote: str, text: str) -> bool:
    """Return whether a chunk has a quote, or lies within a quote that is longer than a chunk."""
    return quote in text or (bool(text) and text in quote)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
