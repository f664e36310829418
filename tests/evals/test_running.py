"""Runs: cases that fail are errors, nothing is asked twice, repeats differ, and judges must agree with persons."""

from typing import Any

import pytest

from llmos.core.errors import BadRequest
from llmos.evals.asking import check_model
from support.evals import ScriptedAsker, completion, failing, run_suite, suite_of

TWO = """
- {id: one, input: One, expect: {contains: one}}
- {id: two, input: Two, expect: {contains: two}}
"""


def echo(prompt: str, request: Any) -> str:
    return prompt


def test_each_case_is_asked_and_checked() -> None:
    ran = run_suite(TWO, ScriptedAsker(lambda prompt, request: "one"))
    assert [(case.id, case.state, case.reason) for case in ran.report.cases] == [
        ("one", "passed", ""),
        ("two", "failed", "it lacks 'two'"),
    ]
    [result] = ran.report.results
    assert (result.num_passed, result.num_failed, result.versions, result.cost) == (1, 1, ["fake@1"], "0.002")
    assert ran.report.verdict == "failed"


def test_many_cases_are_in_flight_and_those_with_a_latency_are_alone() -> None:
    cases = "\n".join(f"- {{id: c{i}, input: x, expect: {{contains: x}}}}" for i in range(20))
    asker = ScriptedAsker(echo)
    run_suite(cases, asker)
    assert asker.most_running == 8
    alone = ScriptedAsker(echo)
    run_suite(cases.replace("contains: x", "latency: 9"), alone)
    assert alone.most_running == 1


def test_a_case_without_an_answer_is_an_error_and_the_others_go_on() -> None:
    ran = run_suite(TWO, ScriptedAsker(lambda prompt, _: failing() if prompt == "One" else "two"))
    [one, two] = ran.report.cases
    assert (one.state, one.reason) == ("error", "The provider is down.")
    assert two.state == "passed"
    [result] = ran.report.results
    assert (result.num_passed, result.num_failed, result.num_errors, result.share) == (1, 0, 1, 1.0)
    assert ran.report.verdict == "undecided"
    assert ran.report.gates[0].sentence == "one has no answer to judge."


def test_a_run_without_any_answer_could_not_run() -> None:
    assert run_suite(TWO, ScriptedAsker(lambda *_: failing())).report.verdict == "could_not_run"


def test_what_is_known_is_not_asked_again() -> None:
    first = run_suite(TWO, ScriptedAsker(echo))
    again = ScriptedAsker(echo)
    ran = run_suite(TWO, again, known=first.kept[:1])
    assert len(again.requests) == 1
    assert [case.state for case in ran.report.cases] == ["passed", "passed"]
    assert len(ran.kept) == 1


def test_once_is_at_temperature_0_and_repeats_have_seeds_and_the_models_temperature() -> None:
    asker = ScriptedAsker(echo)
    run_suite(TWO, asker)
    assert {request["temperature"] for _, request in asker.requests} == {0}
    repeated = ScriptedAsker(lambda prompt, request: "one" if request["seed"] < 3 else "no")
    ran = run_suite(TWO, repeated, repeats=4)
    assert sorted(request["seed"] for _, request in repeated.requests) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert not any("temperature" in request for _, request in repeated.requests)
    one = ran.report.cases[0]
    assert (one.state, one.num_passed, one.num_tries) == ("failed", 2, 4)
    assert one.low < 0.5 < one.high
    assert ran.report.results[0].rate == 0.25


def test_prompts_conversations_variables_and_tools_are_sent() -> None:
    suite = suite_of("""
system: You work for {{shop}}.
prompt: "{{greeting}}, {{input}}"
variables: {shop: Acme}
sampling: {max_tokens: 9}
tools: [{type: function, function: {name: f}}]
cases:
  - {id: a, input: bye, variables: {greeting: Hi}, expect: {contains: x}}
  - {id: b, input: [{role: user, content: Before}, {role: assistant, content: Well}], expect: {contains: x}}
""")
    asker = ScriptedAsker(echo)
    run_suite(suite, asker)
    (_, one), (_, other) = asker.requests
    system = {"role": "system", "content": "You work for Acme."}
    assert one["messages"] == [system, {"role": "user", "content": "Hi, bye"}]
    assert (one["max_tokens"], one["tools"][0]["function"]["name"]) == (9, "f")
    assert [each["role"] for each in other["messages"]] == ["system", "user", "assistant"]


def test_an_application_is_run_with_the_variables_and_mocks_of_a_case() -> None:
    suite = (
        "- {id: a, input: Hi, variables: {shop: Acme}, mocks: [{tool: look, result: 3}],"
        " expect: {cites: faq.md, abstains: false, tool_called: look}}"
    )
    answer = {
        "text": "Yes",
        "sentences": [{"text": "Yes", "citations": [{"document": "faq.md"}]}],
        "steps": [{"kind": "tool", "name": "look", "arguments": {}}],
    }
    asker = ScriptedAsker(lambda *_: answer)
    ran = run_suite(suite, asker, "app:support")
    [(path, body)] = asker.requests
    assert path == "/llmos/v1/apps/support/runs"
    assert body["input"] == {"role": "user", "content": "Hi"}
    assert (body["metadata"], body["effects"]) == ({"shop": "Acme"}, False)
    assert [(mock["tool"], mock["result"]) for mock in body["mocks"]] == [("look", 3)]
    assert ran.report.verdict == "passed"


def test_a_model_has_no_tools_to_mock() -> None:
    suite = "- {id: a, input: Hi, mocks: [{tool: look, result: 3}], expect: {contains: x}}"
    [case] = run_suite(suite, ScriptedAsker(lambda *_: "x")).report.cases
    assert (case.state, "is a model" in case.reason) == ("error", True)


def test_weights_and_thresholds_make_a_score() -> None:
    case = "- {id: a, input: x, threshold: 0.7, checks: [{contains: good, weight: 3}, {contains: bad}]}"
    assert run_suite(case, ScriptedAsker(lambda *_: "good")).report.verdict == "passed"
    assert run_suite(case, ScriptedAsker(lambda *_: "bad")).report.verdict == "failed"


def test_a_case_of_likelihoods_generates_nothing() -> None:
    case = "- {id: a, input: Is it?, expect: {likelihood: {options: [' yes', ' no'], best: ' no'}}}".replace(
        "Is it?", '"Is it?"'
    )
    scores = {"options": [{"normalized_logprob": -2.0}, {"normalized_logprob": -1.0}]}
    asker = ScriptedAsker(lambda *_: scores)
    ran = run_suite(case, asker)
    assert [path for path, _ in asker.requests] == ["/llmos/v1/likelihood"]
    assert ran.report.verdict == "passed"


JUDGED = """
judges:
  polite:
    model: big
    version: big@1
    question: Is it polite?
    labelled: [LABELLED]
cases:
  - {id: a, input: Hi, expect: {judge: polite}}
"""


def judged(num_right: int, version: str = "big@1") -> Any:
    """Run a suite whose judge is right about so many of ten labelled answers."""
    labelled = ", ".join(
        f"{{input: x, answer: '{'good' if i % 2 else 'bad'} {i}', passes: {'true' if i % 2 else 'false'}}}"
        for i in range(10)
    )

    def say(prompt: str, request: Any) -> Any:
        if request["model"] != "big":
            return "good"
        index = int(prompt[-1]) if prompt[-1].isdigit() else -1
        passes = ("good" in prompt) == (index < num_right)
        return completion(f'{{"reason": "So it is.", "passes": {str(passes).lower()}}}', version)

    return run_suite(JUDGED.replace("LABELLED", labelled), ScriptedAsker(say))


def test_a_judge_that_agrees_counts() -> None:
    ran = judged(10)
    [judge] = ran.report.judges
    assert (judge.num_agreed, judge.num_labelled, judge.kappa, judge.is_trusted) == (10, 10, 1.0, True)
    assert ran.report.verdict == "passed"
    assert ran.report.cases[0].answers[0].checks[0].text == "So it is."


def test_a_judge_that_agrees_too_little_is_shown_and_does_not_count() -> None:
    ran = judged(7)
    [judge] = ran.report.judges
    assert judge.kappa == pytest.approx(0.4)
    assert not judge.is_trusted
    assert ran.report.cases[0].state == "error"
    assert "doesn't agree enough" in ran.report.cases[0].reason
    assert ran.report.verdict == "could_not_run"


def test_another_version_of_a_judge_has_no_opinion() -> None:
    ran = judged(10, "big@2")
    assert ran.report.judges[0].num_agreed == 0
    assert ran.report.cases[0].state == "error"


def test_what_only_applications_do_is_not_demanded_of_models() -> None:
    with pytest.raises(BadRequest, match="demands `cites`, which only an application does"):
        check_model(suite_of("- {id: a, input: x, expect: {cites: true}}"), "smollm2")
    with pytest.raises(BadRequest, match="gives the model no `tools`"):
        check_model(suite_of("- {id: a, input: x, expect: {tool_called: f}}"), "smollm2")
    check_model(suite_of("- {id: a, input: x, expect: {cites: true}}"), "app:support")
    check_model(suite_of("- {id: a, input: x, expect: {cites: false, abstains: false}}"), "smollm2")
