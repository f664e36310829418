"""The report of an evaluation of knowledge, as `llmos knowledge eval` prints it."""

import pytest

from llmos.cli.knowledge_report import print_report
from llmos.core.schemas.knowledge_eval import (
    FigureDescription,
    KnowledgeEvalDescription,
    MissDescription,
    ThresholdDescription,
)

FIGURE = FigureDescription(name="mrr", value=0.5, low=0.4, high=0.6, sentence="The mean reciprocal rank is 0.50.")
MISS = MissDescription(question="How [red]long?", kind="not_found", expected_document="a.md")


def test_figures_threshold_and_misses_are_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    threshold = ThresholdDescription(measure="m/1", intercept=0, cosine=1, words=1, threshold=0.375)
    print_report(
        KnowledgeEvalDescription(
            knowledge="faq@7", cases="questions@2", figures=[FIGURE], threshold=threshold, misses=[MISS]
        )
    )
    assert capsys.readouterr().out.splitlines() == [
        "faq@7 with the questions of questions@2:",
        "  The mean reciprocal rank is 0.50.",
        "A search has an answer from a probability of 0.38 on.",
        "  not found: How [red]long? (it is in a.md)",
    ]


def test_a_mode_that_is_better_than_hybrid_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(KnowledgeEvalDescription(knowledge="faq@7", cases="q@1", mode="text", mode_reason="Text finds more."))
    assert capsys.readouterr().out.splitlines()[-1] == "Text finds more."


def test_without_a_threshold_the_reason_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(KnowledgeEvalDescription(knowledge="faq@7", cases="q@1", no_threshold="Add 3 more questions."))
    assert capsys.readouterr().out.splitlines()[-1] == "Add 3 more questions."
