"""Markdown for a pull request: the verdict, the shares, and the cases that don't pass."""

from llmos.core.schemas.evals import EvalCaseDescription, EvalRunDetails
from llmos.evals.reports.sentences import judge_sentence

_NUM_SHOWN = 20
_MARKS = {"passed": "✅", "failed": "❌", "undecided": "❔", "could_not_run": "⚠️"}


def markdown(run: EvalRunDetails) -> str:
    """Return the report. Texts of models are shown as code: they can't become links or headings."""
    verdict = run.verdict or "unfinished"
    lines = [f"### {_MARKS.get(verdict, '')} Eval {_inline(run.suite)}: {verdict.replace('_', ' ')}".strip(), ""]
    lines += ["| model | pass | share | 95 % | errors | trivial answer |", "|---|---:|---:|---|---:|---|"]
    for result in run.results:
        counted = result.num_passed + result.num_failed
        baseline = f"{result.baseline.num_passed} of {result.baseline.num_cases}, {_inline(result.baseline.name)}"
        lines.append(
            f"| {_inline(', '.join(result.versions) or result.model)} | {result.num_passed} of {counted}"
            f" | {result.share:.0%} | {result.low:.0%} to {result.high:.0%} | {result.num_errors} | {baseline} |"
        )
    lines += ["", *(f"- **{gate.name}**: {gate.state}. {_plain(gate.sentence)}" for gate in run.gates)]
    lines += [f"- {_plain(judge_sentence(judge))}" for judge in run.judges]
    wrong = [case for case in run.cases if case.state != "passed"]
    if wrong:
        lines += ["", f"<details><summary>{len(wrong)} cases don't pass</summary>", ""]
        lines += [line for case in wrong[:_NUM_SHOWN] for line in _case(case)]
        lines += [f"… and {len(wrong) - _NUM_SHOWN} more."] if len(wrong) > _NUM_SHOWN else []
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _case(case: EvalCaseDescription) -> list[str]:
    wrong = next((answer for answer in case.answers if answer.passed is not True), None)
    tries = f", {case.num_passed} of {case.num_tries} repeats pass" if case.num_tries > 1 else ""
    text = f" {_inline(wrong.text[:200])}" if wrong is not None and wrong.text else ""
    return [f"- {_inline(case.id)} ({_inline(case.model)}{tries}): {_plain(case.reason)}{text}"]


def _inline(text: str) -> str:
    """Return a text as code in one line, which holds any character."""
    flat = " ".join(text.split()).replace("|", "¦")
    fence = "``" if "`" in flat else "`"
    pad = " " if "`" in flat else ""
    return f"{fence}{pad}{flat}{pad}{fence}" if flat else ""


def _plain(text: str) -> str:
    flat = " ".join(text.split())
    return "".join(f"\\{each}" if each in "<>[]*_`|#@" else each for each in flat)
