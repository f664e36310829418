"""The report of an evaluation: figures, the threshold if it is worth having, and the questions that went wrong."""

from collections.abc import Iterator, Sequence
from itertools import islice

from llmos.core.errors import BadRequest
from llmos.core.schemas.knowledge_eval import (
    FigureDescription,
    KnowledgeEvalDescription,
    MissDescription,
    ThresholdDescription,
)
from llmos.data.knowledge.evaluation.figures import f1_of_never_answering, missing_figures, search_figures
from llmos.data.knowledge.evaluation.judging import Judged
from llmos.data.knowledge.evaluation.modes import choose_mode
from llmos.data.knowledge.evaluation.threshold import (
    cross_validate,
    fit_threshold,
    is_answerable,
    missing_cases,
)

MAX_MISSES = 20


def evaluate(judged: Sequence[Judged], *, knowledge: str, cases: str) -> KnowledgeEvalDescription:
    """Return the report. `knowledge`, `cases`: the references of both versions. Raises BadRequest without any case."""
    if not judged:
        raise BadRequest("There are no cases. Import rows with `input` and `expected` first.")
    judged = sorted(judged, key=lambda each: each.case.question)  # The order of the cases changes no figure.
    mode, advantage = choose_mode(judged)
    judged = [each._replace(mode=mode) for each in judged]
    figures, threshold, reason = search_figures(judged), None, missing_cases(judged)
    if reason is None:
        predictions = cross_validate(judged)
        about_missing = missing_figures(predictions)
        figures += about_missing
        reason = _is_useless(about_missing[-1], f1_of_never_answering(predictions))
        threshold = fit_threshold(judged) if reason is None else None
    num_answerable = sum(each.is_answerable for each in judged)
    return KnowledgeEvalDescription(
        knowledge=knowledge,
        cases=cases,
        num_answerable=num_answerable,
        num_unanswerable=len(judged) - num_answerable,
        figures=figures,
        mode=mode,
        mode_reason=advantage and f"{advantage}; searches of {knowledge} use it unless a mode is asked for.",
        threshold=threshold,
        no_threshold=reason,
        misses=list(islice(_misses(judged, threshold), MAX_MISSES)),
    )


def _is_useless(f1: FigureDescription, trivial: float) -> str | None:
    """Return why the threshold isn't used: it can't be told from calling every question unanswerable."""
    if f1.low > trivial:
        return None
    return (
        "No threshold tells both kinds of questions apart on these cases: the F1 of"
        f' "not in here" is {f1.value:.2f} ({f1.low:.2f}–{f1.high:.2f}), and {trivial:.2f} for calling every question'
        " unanswerable. Use an embedding model for the language of the documents, or add questions."
    )


def _misses(judged: Sequence[Judged], threshold: ThresholdDescription | None) -> Iterator[MissDescription]:
    for each in judged:
        kinds = []
        if each.is_answerable and each.outcome.rank is None:
            kinds.append("not_found")
        if threshold is not None and is_answerable(threshold, each.evidence) != each.is_answerable:
            kinds.append("called_unanswerable" if each.is_answerable else "called_answerable")
        expected = each.case.expected
        for kind in kinds:
            yield MissDescription(
                question=each.case.question,
                kind=kind,
                expected_document=expected.document if expected else None,
                expected_quote=expected.quote if expected else None,
                found_document=each.outcome.first_document,
            )
