"""Scoring: what the attempts at cases come to: a state for each case, a share with an interval for each model."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from llmos.core.proportions import wilson
from llmos.core.schemas.evals import (
    EvalAnswerDescription,
    EvalBaselineDescription,
    EvalCaseDescription,
    EvalCheckDescription,
    EvalResultDescription,
)
from llmos.evals.attempts import Attempt
from llmos.evals.baselines import Baseline
from llmos.evals.comparing import compare_pairs
from llmos.evals.suites import Suite


def score_cases(suite: Suite, model: str, attempts: Iterable[Attempt]) -> list[EvalCaseDescription]:
    """Return the cases of one model, in the order of the suite."""
    of_case: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.model == model:
            of_case[attempt.case].append(attempt)
    return [_score_case(case.id, model, of_case[case.id]) for case in suite.cases]


def score_model(
    suite: Suite, model: str, cases: Sequence[EvalCaseDescription], attempts: Iterable[Attempt]
) -> EvalResultDescription:
    """Return the result of one model, with the best trivial answer beside it."""
    counted = [case for case in cases if case.state != "error"]
    num_passed = sum(case.state == "passed" for case in counted)
    low, high = wilson(num_passed, len(counted))
    answers = [each.answer for each in attempts if each.model == model and each.answer is not None]
    costs = [Decimal(each.cost) for each in answers if each.cost]
    return EvalResultDescription(
        model=model,
        versions=sorted({each.version for each in answers if each.version}),
        num_cases=len(cases),
        num_passed=num_passed,
        num_failed=len(counted) - num_passed,
        num_errors=len(cases) - len(counted),
        share=num_passed / len(counted) if counted else 0.0,
        low=low,
        high=high,
        rate=sum(case.num_passed / case.num_tries for case in counted) / len(counted) if counted else 0.0,
        baseline=_beside_baseline(suite, counted),
        num_input_tokens=sum(each.num_input_tokens for each in answers),
        num_output_tokens=sum(each.num_output_tokens for each in answers),
        cost=f"{sum(costs):f}" if costs else "",
        currency=next((each.currency for each in answers if each.currency), ""),
    )


def _score_case(id: str, model: str, attempts: Sequence[Attempt]) -> EvalCaseDescription:
    tried = [each for each in attempts if each.passed is not None]
    num_passed = sum(each.passed is True for each in tried)
    low, high = wilson(num_passed, len(tried))
    wrong = next((each for each in attempts if each.passed is False), None)
    error = next((each.error for each in attempts if each.passed is None), "It was not asked.")
    return EvalCaseDescription(
        id=id,
        model=model,
        state="error" if not tried else "passed" if num_passed == len(tried) else "failed",
        num_passed=num_passed,
        num_tries=len(tried),
        low=low,
        high=high,
        reason=error if not tried else "" if wrong is None else reason_of(wrong),
        answers=[_describe(each) for each in sorted(attempts, key=lambda each: each.repeat)],
    )


def reason_of(attempt: Attempt) -> str:
    """Return why an attempt doesn't pass: what the checks found that count and don't hold."""
    return "; ".join(check.text for check in attempt.checks if not check.holds and check.weight) or attempt.error


def _describe(attempt: Attempt) -> EvalAnswerDescription:
    answer = attempt.answer
    return EvalAnswerDescription(
        repeat=attempt.repeat,
        text=answer.text if answer else "",
        passed=attempt.passed,
        error=attempt.error,
        version=answer.version if answer else "",
        seconds=answer.seconds if answer else 0.0,
        num_output_tokens=answer.num_output_tokens if answer else 0,
        cost=answer.cost if answer else "",
        checks=[EvalCheckDescription(name=c.name, holds=c.holds, text=c.text, weight=c.weight) for c in attempt.checks],
    )


def _beside_baseline(suite: Suite, counted: Sequence[EvalCaseDescription]) -> EvalBaselineDescription:
    baseline = Baseline.best_of(suite)
    pairs = [(case.state == "passed", case.id in baseline.passed) for case in counted if case.id in baseline.judged]
    compared = compare_pairs(pairs, margin=None)
    return EvalBaselineDescription(
        name=baseline.name,
        num_passed=len(baseline.passed),
        num_cases=len(baseline.judged),
        verdict="undecided" if compared.verdict == "not_worse" else compared.verdict,
        num_needed=compared.num_needed,
    )
