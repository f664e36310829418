"""Verdicts: whether the gates of a suite are passed, failed or undecided, and what that makes of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmos.core.proportions import wilson
from llmos.core.schemas.evals import (
    EvalCaseDescription,
    EvalComparisonDescription,
    EvalGateDescription,
    EvalJudgeDescription,
    EvalResultDescription,
    Verdict,
)
from llmos.evals.attempts import Attempt
from llmos.evals.comparing import compare_models, needed_sentence
from llmos.evals.running import Agreement
from llmos.evals.scoring import score_cases, score_model
from llmos.evals.statistics import cases_needed
from llmos.evals.suites import Suite


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The result of a run."""

    verdict: Verdict
    results: Sequence[EvalResultDescription]
    gates: Sequence[EvalGateDescription]
    comparison: EvalComparisonDescription | None
    judges: Sequence[EvalJudgeDescription]
    cases: Sequence[EvalCaseDescription]


def judge_run(
    suite: Suite, models: Sequence[str], attempts: Sequence[Attempt], agreements: Sequence[Agreement] = ()
) -> Report:
    """Return the report of a run. `models`: the one that gates are about, and maybe one that it is compared with."""
    cases = score_run(suite, models, attempts)
    results = [score_model(suite, model, each, attempts) for model, each in zip(models, cases, strict=True)]
    comparison = compare_models(cases[0], cases[1], suite.gates.not_worse_by) if len(models) == 2 else None
    gates = judge_gates(suite, results[0], cases[0], comparison)
    judges = [
        EvalJudgeDescription(
            name=each.judge,
            version=each.version,
            num_labelled=each.num_labelled,
            num_agreed=each.num_agreed,
            kappa=each.kappa,
            is_trusted=each.is_trusted,
        )
        for each in agreements
    ]
    return Report(
        verdict=_verdict(results, gates),
        results=results,
        gates=gates,
        comparison=comparison,
        judges=judges,
        cases=[case for each in cases for case in each],
    )


def score_run(suite: Suite, models: Sequence[str], attempts: Sequence[Attempt]) -> list[list[EvalCaseDescription]]:
    """Return the cases of each model, in the order of the suite."""
    return [score_cases(suite, model, attempts) for model in models]


def judge_gates(
    suite: Suite,
    result: EvalResultDescription,
    cases: Sequence[EvalCaseDescription],
    comparison: EvalComparisonDescription | None,
) -> list[EvalGateDescription]:
    """Return the gates that the suite asks for. One that asks for none asks that every case passes, or, of two models,
    that the first isn't worse."""
    asked, gates = suite.gates, []
    if asked.all_pass or (asked.is_empty and comparison is None):
        gates.append(_all_pass("all_pass", cases))
    if asked.must_pass:
        gates.append(_all_pass("must_pass", [case for case in cases if case.id in asked.must_pass]))
    if asked.pass_rate is not None:
        gates.append(_pass_rate(asked.pass_rate, result))
    if asked.beats_baseline:
        gates.append(_beats_baseline(result))
    if comparison is not None:
        state = {"better": "passed", "not_worse": "passed", "worse": "failed"}.get(comparison.verdict, "undecided")
        gates.append(
            EvalGateDescription(
                name="not_worse_by",
                state=state,  # type: ignore[arg-type]  # One of the three.
                sentence=comparison.sentence,
                num_needed=comparison.num_needed,
            )
        )
    return gates


def _all_pass(name: str, cases: Sequence[EvalCaseDescription]) -> EvalGateDescription:
    failed = [case.id for case in cases if case.state == "failed"]
    errors = [case.id for case in cases if case.state == "error"]
    if failed:
        return EvalGateDescription(name=name, state="failed", sentence=f"{_listed(failed)} must pass, and fails.")
    if errors:
        return EvalGateDescription(name=name, state="undecided", sentence=f"{_listed(errors)} has no answer to judge.")
    return EvalGateDescription(name=name, state="passed", sentence=f"All {len(cases)} cases pass.")


def _pass_rate(share: float, result: EvalResultDescription) -> EvalGateDescription:
    num_passed, num_counted = result.num_passed, result.num_passed + result.num_failed

    def state(factor: float) -> str:
        low, high = wilson(round(num_passed * factor), round(num_counted * factor))
        return "passed" if low >= share else "failed" if high < share else "undecided"

    found = state(1.0)
    needed = cases_needed(num_counted, lambda factor: state(factor) != "undecided") if found == "undecided" else None
    sentence = (
        f"{result.share:.1%} of the cases pass ({result.low:.1%} to {result.high:.1%}); {share:.1%} are demanded."
    )
    return EvalGateDescription(
        name="pass_rate",
        state=found,  # type: ignore[arg-type]  # One of the three.
        sentence=f"{sentence} {needed_sentence(needed)}" if found == "undecided" else sentence,
        num_needed=needed,
    )


def _beats_baseline(result: EvalResultDescription) -> EvalGateDescription:
    baseline = result.baseline
    name = f"A trivial answer, {baseline.name}, passes {baseline.num_passed} of {baseline.num_cases} cases"
    if baseline.verdict == "better":
        return EvalGateDescription(name="beats_baseline", state="passed", sentence=f"{name}: {result.model} beats it.")
    if baseline.verdict == "worse":
        return EvalGateDescription(name="beats_baseline", state="failed", sentence=f"{name}, more than {result.model}.")
    sentence = f"{name}: not clearly fewer than {result.model}. {needed_sentence(baseline.num_needed)}"
    return EvalGateDescription(
        name="beats_baseline", state="undecided", sentence=sentence, num_needed=baseline.num_needed
    )


def _verdict(results: Sequence[EvalResultDescription], gates: Sequence[EvalGateDescription]) -> Verdict:
    if any(result.num_errors == result.num_cases for result in results):
        return "could_not_run"
    states = {gate.state for gate in gates}
    return "failed" if "failed" in states else "undecided" if "undecided" in states else "passed"


def _listed(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:5])
    return shown if len(ids) <= 5 else f"{shown} and {len(ids) - 5} more"
