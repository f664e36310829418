"""The report of an evaluation of knowledge, in sentences."""

from llmos.cli.output import stdout
from llmos.core.schemas.knowledge_eval import KnowledgeEvalDescription, MissDescription

_MISSES = {
    "not_found": "not found",
    "called_unanswerable": "wrongly said to have no answer",
    "called_answerable": "wrongly said to have an answer",
}


def print_report(report: KnowledgeEvalDescription) -> None:
    """Print the figures as sentences, the mode unless it is hybrid, the threshold or why there is none, and misses."""
    out = stdout()
    out.print(f"{report.knowledge} with the questions of {report.cases}:", markup=False)
    for figure in report.figures:
        out.print(f"  {figure.sentence}", markup=False)
    if report.mode_reason is not None:
        out.print(report.mode_reason, markup=False)
    if report.threshold is not None:
        out.print(f"A search has an answer from a probability of {report.threshold.threshold:.2f} on.", markup=False)
    elif report.no_threshold is not None:
        out.print(report.no_threshold, markup=False)
    for miss in report.misses:
        out.print(f"  {_sentence(miss)}", markup=False)


def _sentence(miss: MissDescription) -> str:
    expected = "" if miss.expected_document is None else f" (it is in {miss.expected_document})"
    return f"{_MISSES.get(miss.kind, miss.kind)}: {miss.question}{expected}"
