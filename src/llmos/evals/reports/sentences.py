"""The sentences that say what a run came to."""

from collections.abc import Iterator

from llmos.core.plurals import counted
from llmos.core.schemas.evals import EvalJudgeDescription, EvalResultDescription, EvalRunDescription
from llmos.evals.measures import MIN_PAIRS

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
    for measure in run.comparison.measures if run.comparison is not None else ():
        yield measure.sentence
    for gate in run.gates:
        yield f"Gate {gate.name}: {gate.state}. {gate.sentence}"
    yield _VERDICTS[run.verdict] if run.verdict else f"Unfinished: {run.num_done} of {run.num_total} answers."


def replay_sentences(run: EvalRunDescription) -> list[str]:
    """Return what became of recorded traffic that two versions were asked: their answers, then the measures."""
    assert run.comparison is not None, "two versions were asked"
    found = [_replayed(result) for result in run.results]
    found += [f"Quality: {run.comparison.sentence}", *(measure.sentence for measure in run.comparison.measures)]
    if run.num_cases < MIN_PAIRS:
        found.append(f"{counted(run.num_cases, 'recorded run')} may be asked again, which is too few to say much.")
    return found


def _replayed(result: EvalResultDescription) -> str:
    num_counted = result.num_passed + result.num_failed
    errors = f"; {result.num_errors} can't be judged, such as for calls that weren't recorded"
    cost = f", {result.cost} {result.currency}" if result.cost else ""
    answers = f"{result.model}: {result.num_passed} of {num_counted} answers hold their checks"
    return f"{answers}{errors if result.num_errors else ''}{cost}."


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
