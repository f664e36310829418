"""Reports: figures with the trivial alternative beside each, thresholds, and what is refused."""

from collections.abc import Mapping

import pytest

from llmos.core.errors import BadRequest
from llmos.core.schemas.knowledge_eval import FigureDescription, KnowledgeEvalDescription
from llmos.data.knowledge.evaluation.answerability import Evidence
from llmos.data.knowledge.evaluation.cases import Expected, KnowledgeCase
from llmos.data.knowledge.evaluation.judging import Hits, Judged, JudgedHit, Outcome, judge
from llmos.data.knowledge.evaluation.report import evaluate
from llmos.data.knowledge.evaluation.threshold import is_answerable
from llmos.data.knowledge.index import Mode

ANSWER = Expected(document="a.md", quote="Two  years\nfrom the date")


def hit(document: str, text: str, cosine: float | None = None) -> JudgedHit:
    return JudgedHit(document, text, cosine)


def judged(question: str, evidence: Evidence, rank: int | None = None, *, is_answerable: bool = True) -> Judged:
    """A case that both parts find at this rank, and the vector part alone never."""
    expected = Expected(document="a.md") if is_answerable else None
    found, missed = Outcome(rank, evidence, "b.md"), Outcome(None, evidence, None)
    outcomes: Mapping[Mode, Outcome] = {"hybrid": found, "text": found, "vector": missed}
    return Judged(KnowledgeCase(question=question, expected=expected), outcomes)


def many(num_answerable: int, num_others: int, *, gap: float = 0.4) -> list[Judged]:
    """Cases of both kinds, whose cosines overlap unless the gap is large."""
    return [
        judged(f"question {index}", Evidence(0.5 + gap + index % 10 / 20, 0.5), 1 + index % 2)
        for index in range(num_answerable)
    ] + [
        judged(f"other {index}", Evidence(0.5 + index % 10 / 20, 0.5), is_answerable=False)
        for index in range(num_others)
    ]


def report(cases: list[Judged]) -> KnowledgeEvalDescription:
    return evaluate(cases, knowledge="faq@7", cases="questions@2")


def figure(report: KnowledgeEvalDescription, name: str) -> FigureDescription:
    return next(each for each in report.figures if each.name == name)


def test_a_hit_is_right_if_document_and_quote_agree_whatever_the_spaces_and_case() -> None:
    case = KnowledgeCase(question="How long?", expected=ANSWER)
    both = [
        hit("b.md", "two years from the date"),
        hit("a.md", "no"),
        hit("a.md", "for TWO YEARS from  the date."),
    ]
    result = judge(case, Hits(both, [hit("a.md", "from the date")], []))
    ranks = {mode: outcome.rank for mode, outcome in result.outcomes.items()}
    assert ranks == {"hybrid": 3, "text": 1, "vector": None}  # a chunk may be shorter than the quote
    assert result.outcome.first_document == "b.md"


def test_the_evidence_comes_from_the_first_five_hits_of_each_part_that_searches() -> None:
    text = [hit("a.md", "how")] + [hit("a.md", "x")] * 4 + [hit("a.md", "how long", 0.9)]
    case = KnowledgeCase(question="How long?")
    outcomes = judge(case, Hits([hit("b.md", "how long", 1)], text, [hit("a.md", "y", 0.4)])).outcomes
    assert outcomes["hybrid"].evidence == (0.4, 0.5)
    assert outcomes["text"].evidence == (0, 0.5)
    assert outcomes["vector"].evidence == (0.4, 0)


def test_without_a_quote_any_chunk_of_the_document_is_right_and_without_a_document_any_with_the_quote() -> None:
    hits = Hits([hit("b.md", "x"), hit("a.md", "y")], [], [])
    for expected, rank in (Expected(document="a.md"), 2), (Expected(quote="X"), 1), (Expected(quote="z"), None):
        assert judge(KnowledgeCase(question="?", expected=expected), hits).outcome.rank == rank


def test_an_empty_chunk_is_no_part_of_a_quote() -> None:
    case = KnowledgeCase(question="?", expected=ANSWER)
    assert judge(case, Hits([hit("a.md", " ")], [], [])).outcome.rank is None


def test_recall_and_mrr_stand_beside_those_of_each_part_alone() -> None:
    described = report([judged(f"q{index}", Evidence(0, 0), rank) for index, rank in enumerate((1, 2, 4, None))])
    assert [(each.name, each.value) for each in described.figures] == [
        ("recall@1", 0.25), ("recall@3", 0.5), ("recall@5", 0.75), ("recall@10", 0.75), ("mrr", 0.4375),
    ]  # fmt: skip
    assert figure(described, "recall@3").sentence == (
        "Of 4 questions that the documents answer, 2 were found among the first 3 hits: 50 % (15–85 %)."
        " The text part alone: 50 %, the vector part alone: 0 %."
    )
    assert figure(described, "mrr").low < 0.4375 < figure(described, "mrr").high
    assert described.misses[0].question == "q3"
    assert (described.misses[0].kind, described.misses[0].found_document) == ("not_found", "b.md")


@pytest.mark.parametrize(
    ("num_answerable", "num_others", "said"),
    [
        (20, 12, "add 8 more that the documents don't answer (`expected`: null)."),
        (19, 20, "add 1 more with an answer in the documents."),
        (1, 0, "add 19 more with an answer in the documents and 20 more that the documents don't answer"),
    ],
)
def test_too_few_cases_give_no_threshold_and_say_how_many_of_which_kind_are_missing(
    num_answerable: int, num_others: int, said: str
) -> None:
    described = report(many(num_answerable, num_others))
    assert described.threshold is None
    assert described.no_threshold is not None
    assert said in described.no_threshold
    assert all(not each.name.startswith("not_in_here") for each in described.figures)


def test_the_threshold_tells_both_kinds_apart_and_its_figures_stand_beside_the_trivial_ones() -> None:
    described = report(many(40, 40))
    assert described.threshold is not None
    assert is_answerable(described.threshold, Evidence(1.2, 0.5))
    assert not is_answerable(described.threshold, Evidence(0.6, 0.5))
    recognised = figure(described, "not_in_here_recall")
    assert recognised.num_cases == 40
    assert recognised.baselines == {"always_answer": 0, "never_answer": 1}
    assert recognised.sentence.startswith("Of 40 questions that the documents don't answer, ")
    f1 = figure(described, "not_in_here_f1")
    assert f1.low > f1.baselines["never_answer"] == pytest.approx(2 / 3)
    assert report(many(40, 40)[::-1]) == described


def test_figures_are_not_fitted_on_the_questions_that_they_are_about() -> None:
    """With signals that say nothing, a threshold fitted on all cases would still look better than chance."""
    cases = many(100, 100, gap=0)
    described = report(cases)
    assert described.threshold is None
    assert described.no_threshold is not None
    assert "No threshold tells both kinds of questions apart" in described.no_threshold
    assert figure(described, "not_in_here_f1").baselines["never_answer"] == pytest.approx(2 / 3)


def test_questions_on_the_wrong_side_of_the_threshold_are_listed() -> None:
    cases = [*many(40, 40, gap=0.6), judged("odd", Evidence(1.5, 0.5), is_answerable=False)]
    described = report(cases)
    assert [(each.question, each.kind) for each in described.misses] == [("odd", "called_answerable")]


def test_figures_threshold_and_misses_are_those_of_the_mode_that_is_better() -> None:
    found, missed = Outcome(1, Evidence(0, 0.9), "a.md"), Outcome(None, Evidence(0.5, 0.5), "b.md")
    nothing = Outcome(None, Evidence(0, 0.1), "c.md")
    outcomes: dict[Mode, Outcome] = {"hybrid": missed, "text": found, "vector": missed}
    others: dict[Mode, Outcome] = {"hybrid": missed, "text": nothing, "vector": missed}
    answer = Expected(document="a.md")
    cases = [Judged(KnowledgeCase(question=f"q{i}", expected=answer), outcomes) for i in range(20)]
    cases += [Judged(KnowledgeCase(question=f"other {i}"), others) for i in range(20)]
    described = report(cases)
    assert (described.mode, described.misses) == ("text", [])
    assert described.mode_reason == (
        "The text part alone finds more: recall@5 is 100 % instead of 0 % with both parts, 100 to 100 percentage points"
        " more; searches of faq@7 use it unless a mode is asked for."
    )
    recall = figure(described, "recall@5")
    assert (recall.value, recall.baselines) == (1, {"hybrid": 0, "vector_part": 0})
    assert recall.sentence.endswith(" Both parts together: 0 %, the vector part alone: 0 %.")
    assert described.threshold is not None
    assert is_answerable(described.threshold, Evidence(0, 0.9))
    assert not is_answerable(described.threshold, Evidence(0, 0.1))


def test_nothing_is_evaluated_without_cases() -> None:
    with pytest.raises(BadRequest, match="no cases"):
        report([])
