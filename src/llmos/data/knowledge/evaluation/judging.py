"""Judging of one question in each mode of search: at which rank is what the question asks for?"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from llmos.data.knowledge.evaluation.answerability import DEPTH as EVIDENCE_DEPTH
from llmos.data.knowledge.evaluation.answerability import Evidence, evidence_of
from llmos.data.knowledge.evaluation.cases import Expected, KnowledgeCase
from llmos.data.knowledge.index import Mode

DEPTH = 10
"""The number of hits of each search that are judged."""


class JudgedHit(NamedTuple):
    document: str
    text: str
    cosine: float | None = None


class Hits(NamedTuple):
    """The first hits of a search in each mode for one question."""

    hybrid: Sequence[JudgedHit]
    text: Sequence[JudgedHit]
    vector: Sequence[JudgedHit]

    def evidence(self, question: str, mode: Mode) -> Evidence:
        """Return the evidence of the parts that search in a mode."""
        text = [] if mode == "vector" else self.text[:EVIDENCE_DEPTH]
        vector = [] if mode == "text" else self.vector[:EVIDENCE_DEPTH]
        return evidence_of(question, [(hit.text, hit.cosine) for hit in (*text, *vector)])


class Outcome(NamedTuple):
    """The result of a search in one mode."""

    rank: int | None
    """The rank of the first right hit, from 1; None if no hit is right."""
    evidence: Evidence
    first_document: str | None


class Judged(NamedTuple):
    case: KnowledgeCase
    outcomes: Mapping[Mode, Outcome]
    mode: Mode = "hybrid"
    """The mode that `outcome` is about."""

    @property
    def outcome(self) -> Outcome:
        return self.outcomes[self.mode]

    @property
    def evidence(self) -> Evidence:
        return self.outcome.evidence

    @property
    def is_answerable(self) -> bool:
        return self.case.expected is not None


def judge(case: KnowledgeCase, hits: Hits) -> Judged:
    """Judge the hits of a case in every mode."""
    by_mode: Mapping[Mode, Sequence[JudgedHit]] = {
        "hybrid": hits.hybrid,
        "text": hits.text,
        "vector": hits.vector,
    }
    return Judged(
        case,
        {
            mode: Outcome(
                _rank(case.expected, found),
                hits.evidence(case.question, mode),
                found[0].document if found else None,
            )
            for mode, found in by_mode.items()
        },
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
