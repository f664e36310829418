"""Verdicts: gates that pass, fail, or can't be decided, and comparisons of two models."""

from typing import Any

import pytest

from support.evals import Ran, ScriptedAsker, failing, run_suite


def suite(num: int, gates: str, expect: str = "contains: aye") -> str:
    cases = "\n".join(f"  - {{id: c{i}, input: 'case {i}', expect: {{{expect}}}}}" for i in range(num))
    return f"cases:\n{cases}\ngates: {{{gates}}}"


def passing(first: int) -> Any:
    """Answer so many cases rightly."""
    return lambda prompt, _: "aye" if int(prompt.split()[1]) < first else "no"


def ran(num: int, gates: str, num_right: int) -> Ran:
    return run_suite(suite(num, gates), ScriptedAsker(passing(num_right)))


@pytest.mark.parametrize(
    ("num_cases", "num_right", "state"),
    [(100, 98, "passed"), (100, 60, "failed"), (10, 9, "undecided")],
)
def test_a_pass_rate_is_decided_by_the_whole_interval(num_cases: int, num_right: int, state: str) -> None:
    report = ran(num_cases, "pass_rate: 0.85", num_right).report
    [gate] = report.gates
    assert (gate.state, report.verdict) == (state, state)
    assert (gate.num_needed is None) == (state != "undecided")


def test_an_undecided_gate_says_how_many_cases_would_decide() -> None:
    [gate] = ran(10, "pass_rate: 0.85", 9).report.gates
    assert gate.num_needed is not None
    assert 100 < gate.num_needed < 300
    assert f"About {gate.num_needed:,} cases like these would decide." in gate.sentence


def test_without_gates_every_case_must_pass() -> None:
    assert ran(5, "", 5).report.verdict == "passed"
    [gate] = ran(9, "", 2).report.gates
    assert (gate.name, gate.state) == ("all_pass", "failed")
    assert gate.sentence == "c2, c3, c4, c5, c6 and 2 more must pass, and fails."


def test_a_case_that_always_fails_is_not_hidden_by_a_good_share() -> None:
    report = ran(100, "pass_rate: 0.9, must_pass: [c99]", 99).report
    assert [(gate.name, gate.state) for gate in report.gates] == [("must_pass", "failed"), ("pass_rate", "passed")]
    assert report.verdict == "failed"


def test_a_trivial_answer_stands_beside_every_share_and_may_have_to_be_beaten() -> None:
    report = ran(40, "beats_baseline: true", 40).report
    baseline = report.results[0].baseline
    assert (baseline.name, baseline.num_passed, baseline.num_cases) == ("always the same answer", 40, 40)
    assert report.verdict == "undecided"
    assert "No number of cases like these" in report.gates[0].sentence


def test_a_model_that_beats_trivial_answers_passes() -> None:
    cases = "\n".join(f"  - {{id: c{i}, input: 'case {i}', expect: {{equals: 'answer {i}'}}}}" for i in range(30))
    asker = ScriptedAsker(lambda prompt, _: f"answer {prompt.split()[1]}")
    report = run_suite(f"cases:\n{cases}\ngates: {{beats_baseline: true}}", asker).report
    assert (report.results[0].baseline.num_passed, report.verdict) == (1, "passed")
    echoing = run_suite(f"cases:\n{cases}\ngates: {{beats_baseline: true}}", ScriptedAsker(lambda p, _: "answer 3"))
    assert echoing.report.verdict == "undecided"


def compared(num: int, first: int, second: int) -> Ran:
    def say(prompt: str, request: Any) -> str:
        right = first if request["model"] == "new" else second
        return "aye" if int(prompt.split()[1]) < right else "no"

    return run_suite(suite(num, ""), ScriptedAsker(say), "new", "old")


@pytest.mark.parametrize(
    ("num", "first", "second", "verdict", "gate"),
    [
        (100, 90, 60, "better", "passed"),
        (100, 60, 90, "worse", "failed"),
        (200, 150, 150, "not_worse", "passed"),
        (10, 6, 5, "undecided", "undecided"),
    ],
)
def test_two_models_are_compared_case_by_case(num: int, first: int, second: int, verdict: str, gate: str) -> None:
    report = compared(num, first, second).report
    assert report.comparison is not None
    assert report.comparison.verdict == verdict
    assert report.verdict == gate
    assert report.comparison.low <= report.comparison.difference <= report.comparison.high
    assert (report.comparison.num_needed is not None) == (verdict == "undecided")


def test_three_cases_that_go_alike_prove_nothing() -> None:
    report = compared(3, 3, 3).report
    assert report.comparison is not None
    assert (report.comparison.verdict, report.comparison.difference) == ("undecided", 0.0)
    assert "cases like these would decide" in report.comparison.sentence


def test_cases_that_one_has_no_answer_to_are_not_compared() -> None:
    def say(prompt: str, request: Any) -> Any:
        return failing() if request["model"] == "old" and prompt == "case 1" else "aye"

    report = run_suite(suite(3, ""), ScriptedAsker(say), "new", "old").report
    assert report.comparison is not None
    assert report.comparison.both == 2
