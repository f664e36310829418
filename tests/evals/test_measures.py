"""Measures of two versions: alike answers, and seconds, tokens and cost with verdicts that few answers can't have."""

from llmos.core.schemas.evals import EvalAnswerDescription, EvalCaseDescription
from llmos.evals.measures import MIN_PAIRS, measure


def cases(model: str, *answers: EvalAnswerDescription | None) -> list[EvalCaseDescription]:
    """The cases of a model; None: it has no answer."""
    return [
        EvalCaseDescription(id=f"c{index}", model=model, answers=[each or EvalAnswerDescription(error="down")])
        for index, each in enumerate(answers)
    ]


def said(text: str = "Two years.", seconds: float = 1.0, cost: str = "", tokens: int = 4) -> EvalAnswerDescription:
    return EvalAnswerDescription(text=text, seconds=seconds, cost=cost, num_output_tokens=tokens, version="x@1")


def verdicts(first: list[EvalAnswerDescription], second: list[EvalAnswerDescription]) -> dict[str, str]:
    return {each.name: each.verdict for each in measure(cases("new", *first), cases("old", *second))}


def test_answers_are_alike_if_they_say_the_same_in_nearly_the_same_words() -> None:
    first = [said("Two years."), said("It takes two days."), said("Never")]
    second = [said("Two  years. "), said("It takes two days!"), said("Paris")]
    agreement = measure(cases("new", *first), cases("old", *second))[0]
    assert (agreement.name, round(agreement.first, 2), agreement.verdict) == ("agreement", 0.67, "none")
    assert agreement.sentence.startswith("2 of 3 pairs of answers are alike: 67% (")


def test_a_clear_difference_has_a_verdict_and_a_small_one_is_not_worse() -> None:
    slow = [said(seconds=2 + index / 10, cost="0.02", tokens=40) for index in range(12)]
    fast = [said(seconds=1 + index / 10, cost="0.0201", tokens=40) for index in range(12)]
    assert verdicts(slow, fast) == {
        "agreement": "none",
        "seconds": "worse",
        "output_tokens": "not_worse",
        "cost": "better",
    }
    assert verdicts(fast, slow)["seconds"] == "better"
    assert verdicts(fast, slow)["cost"] == "not_worse"


def test_few_answers_decide_nothing() -> None:
    few = MIN_PAIRS - 1
    found = measure(cases("new", *[said(seconds=1)] * few), cases("old", *[said(seconds=9)] * few))[1]
    assert found.verdict == "undecided"
    assert found.sentence.endswith(f"{few} answers are too few; {MIN_PAIRS} are needed.")


def test_only_what_both_answered_is_compared() -> None:
    found = measure(cases("new", said(), None, said()), cases("old", said(), said(), None))
    assert {each.name: each.num_pairs for each in found} == {"agreement": 1, "seconds": 1, "output_tokens": 1}
    assert measure(cases("new", None), cases("old", said())) == []
