"""The threshold of answerability, and predictions that weren't fitted on the questions that they are about."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from llmos.core.schemas.knowledge_eval import ThresholdDescription
from llmos.data.knowledge.evaluation.answerability import (
    MEASURE,
    Evidence,
    Measure,
    best_threshold,
    fit_measure,
)
from llmos.data.knowledge.evaluation.judging import Judged

MIN_CASES = 20
"""The least cases of each kind. With fewer, the interval of a share is forty points wide or wider."""


class Prediction(NamedTuple):
    is_answerable: bool
    """The expected value."""
    is_called_answerable: bool
    """The decision of the threshold that was fitted on the other half of the cases."""


def missing_cases(judged: Sequence[Judged]) -> str | None:
    """Return the sentence that says how many cases are missing for a threshold; None if there are enough."""
    num_answerable = sum(each.is_answerable for each in judged)
    wanted = []
    if (short := MIN_CASES - num_answerable) > 0:
        wanted.append(f"{short} more with an answer in the documents")
    if (short := MIN_CASES - (len(judged) - num_answerable)) > 0:
        wanted.append(f"{short} more that the documents don't answer (`expected`: null)")
    if not wanted:
        return None
    return f"A threshold needs {MIN_CASES} questions of each kind: add {' and '.join(wanted)}."


def fit_threshold(judged: Sequence[Judged]) -> ThresholdDescription:
    """Return the threshold that was fitted on all cases."""
    answerable = [each.is_answerable for each in judged]
    measure = fit_measure([each.evidence for each in judged], answerable)
    return ThresholdDescription(
        measure=MEASURE,
        intercept=measure.intercept,
        cosine=measure.cosine,
        words=measure.words,
        threshold=best_threshold([measure.probability(each.evidence) for each in judged], answerable),
    )


def is_answerable(threshold: ThresholdDescription, evidence: Evidence) -> bool:
    """Return whether the documents likely answer the question of this evidence."""
    return probability(threshold, evidence) >= threshold.threshold


def probability(threshold: ThresholdDescription, evidence: Evidence) -> float:
    measure = Measure(intercept=threshold.intercept, cosine=threshold.cosine, words=threshold.words)
    return measure.probability(evidence)


def cross_validate(judged: Sequence[Judged]) -> list[Prediction]:
    """Predict each half of the cases with a threshold that was fitted on the other half (two-fold cross-validation)."""
    first, second = halves(judged)
    predictions = []
    for fitted, tested in ((first, second), (second, first)):
        threshold = fit_threshold(fitted)
        predictions += [Prediction(each.is_answerable, is_answerable(threshold, each.evidence)) for each in tested]
    return predictions


def halves(judged: Sequence[Judged]) -> tuple[list[Judged], list[Judged]]:
    """Divide the cases at random, each kind equally: by hashes, so that the same cases give the same halves."""
    ordered = sorted(judged, key=lambda each: (each.is_answerable, _hash(each.case.question)))
    return ordered[::2], ordered[1::2]


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
