"""The sentences that say what a run came to."""

from collections.abc import Iterator

from llmos.core.schemas.evals import EvalJudgeDescription, EvalResultDescription, EvalRunDescription

_VERDICTS = {
    "passed": "Passed.",
    "failed": "Failed.",
    "undecided": "Undecided.",
    "could_not_run": "It could not run: no case has an answer to judge.",
}


def sentences(run: EvalRunDescription) -> Iterator[str]:
    """Yield the shares with their intervals, the baseline beside each, judges, gates, and the verdict last."""
    for result in run.results:
        yield _share(result)
        yield _baseline(result)
    for judge in run.judges:
        yield judge_sentence(judge)
    for gate in run.gates:
        yield f"Gate {gate.name}: {gate.state}. {gate.sentence}"
    yield _VERDICTS[run.verdict] if run.verdict else f"Unfinished: {run.num_done} of {run.num_total} answers."


def judge_sentence(judge: EvalJudgeDescription) -> str:
    """Return how far a judge agrees with labelled answers, and whether it counts."""
    kappa = "no kappa: label both right and wrong answers" if judge.kappa is None else f"kappa {judge.kappa:.2f}"
    agrees = f"agrees on {judge.num_agreed} of {judge.num_labelled} labelled answers ({kappa})"
    counts = "" if judge.is_trusted else " Its opinion doesn't count: that takes 10 labels and a kappa of 0.6."
    return f"The judge {judge.name}, {judge.version}, {agrees}.{counts}"


def _share(result: EvalResultDescription) -> str:
    counted = result.num_passed + result.num_failed
    versions = f" ({', '.join(result.versions)})" if result.versions and result.versions != [result.model] else ""
    share = f"{result.share:.0%} ({result.low:.0%} to {result.high:.0%} in 95 of 100 samples)"
    errors = f" {result.num_errors} more have no answer to judge." if result.num_errors else ""
    return f"{result.model}{versions}: {result.num_passed} of {counted} cases pass: {share}.{errors}"


def _baseline(result: EvalResultDescription) -> str:
    baseline = result.baseline
    if not baseline.num_cases:
        return "No trivial answer beside it: all checks ask a model or run a program."
    share = baseline.num_passed / baseline.num_cases
    of = f"{baseline.num_passed} of {baseline.num_cases}"
    return f"A trivial answer, {baseline.name}, passes {of}: {share:.0%}."
