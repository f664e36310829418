"""The default mode: hybrid, unless another mode is clearly better on the same questions."""

from collections.abc import Sequence

from llmos.data.knowledge.evaluation.answerability import Evidence
from llmos.data.knowledge.evaluation.cases import Expected, KnowledgeCase
from llmos.data.knowledge.evaluation.judging import Judged, Outcome
from llmos.data.knowledge.evaluation.modes import DefaultMode, choose_mode

Rank = int | None
HYBRID = DefaultMode("hybrid", None)


def judged(*ranks: tuple[Rank, Rank, Rank]) -> list[Judged]:
    """Answerable cases with their ranks in the modes hybrid, text and vector."""
    return [
        Judged(
            KnowledgeCase(question=f"question {index}", expected=Expected(document="a.md")),
            {"hybrid": _outcome(hybrid), "text": _outcome(text), "vector": _outcome(vector)},
        )
        for index, (hybrid, text, vector) in enumerate(ranks)
    ]


def _outcome(rank: Rank) -> Outcome:
    return Outcome(rank, Evidence(0, 0), None)


def alike(num_cases: int) -> Sequence[tuple[Rank, Rank, Rank]]:
    return [(1, 1, 1)] * num_cases


def test_the_mode_that_finds_clearly_more_becomes_the_default() -> None:
    for mode, ranks in ("text", (None, 1, None)), ("vector", (None, None, 1)):
        chosen = choose_mode(judged(*alike(20), *[ranks] * 10))
        assert chosen.mode == mode
        assert chosen.reason is not None
        assert chosen.reason.startswith(
            f"The {mode} part alone finds more: recall@5 is 100 % instead of 67 % with both parts,"
        )


def test_a_mode_may_be_better_by_its_ranks_alone() -> None:
    chosen = choose_mode(judged(*[(3, 1, None)] * 20))
    assert chosen.mode == "text"
    assert chosen.reason == (
        "The text part alone ranks better: the mean reciprocal rank is 1.00 instead of 0.33 with both parts,"
        " 0.67 to 0.67 more"
    )


def test_a_difference_that_may_be_chance_changes_nothing() -> None:
    assert choose_mode(judged(*alike(40), (None, 1, None))) == HYBRID
    assert choose_mode(judged(*alike(20), *[(None, 1, None), (1, None, None)] * 10)) == HYBRID


def test_better_ranks_are_no_reason_to_find_less() -> None:
    assert choose_mode(judged(*[(3, 1, None)] * 30, *[(1, None, None)] * 10)) == HYBRID


def test_few_questions_decide_nothing() -> None:
    assert choose_mode(judged(*[(None, 1, None)] * 19)) == HYBRID
    assert choose_mode(judged(*[(None, 1, None)] * 20)).mode == "text"
    unanswerable = Judged(KnowledgeCase(question="?"), judged((None, None, None))[0].outcomes)
    assert choose_mode([*judged(*[(None, 1, None)] * 19), unanswerable]) == HYBRID


def test_of_two_better_modes_the_one_that_finds_more_is_taken() -> None:
    assert choose_mode(judged(*[(None, 1, 1)] * 20, *[(None, None, 4)] * 5)).mode == "vector"
