"""promptfoo's configuration: what is carried over means the same, and the rest is listed by name."""

from pathlib import Path
from typing import Any

import pytest

from llmos.core.errors import BadRequest
from llmos.evals.promptfoo import Imported, read_promptfoo, suite_yaml
from llmos.evals.suite_reading import parse_suite, read_suite
from support.evals import ScriptedAsker, run_suite

HEAD = 'prompts: ["Translate to {{language}}: {{text}}"]\n'


def imported(text: str, folder: Path = Path()) -> Imported:
    return read_promptfoo(text, "promptfooconfig.yaml", folder)


def one_assertion(assertion: str) -> Imported:
    return imported(f"{HEAD}tests:\n  - vars: {{text: x}}\n    assert: [{{{assertion}}}, {{type: equals, value: z}}]\n")


def holds(assertion: str, answer: str) -> bool:
    """Return whether an assertion that is carried over holds for an answer."""
    found = imported(f"{HEAD}tests:\n  - vars: {{text: x}}\n    assert: [{{{assertion}}}]\n")
    assert found.left_out == []
    suite = parse_suite(found.document, "the suite")
    return run_suite(suite, ScriptedAsker(lambda *_: answer)).report.verdict == "passed"


def test_prompts_variables_defaults_and_thresholds_are_carried_over() -> None:
    found = imported(
        HEAD
        + """
description: Translations
providers: [openai:gpt-4o]
defaultTest:
  vars: {language: French}
  assert: [{type: not-contains, value: sorry}]
tests:
  - description: greets
    vars: {text: Hello}
    assert: [{type: icontains, value: bonjour, weight: 2}]
    threshold: 0.5
  - vars: {text: Bye, language: German}
    assert: [{type: equals, value: Tschüss}]
"""
    )
    assert found.left_out == ["providers (models are named by --model)"]
    greets, bye = found.document["cases"]
    assert greets == {
        "id": "greets",
        "input": "French",
        "variables": {"language": "French", "text": "Hello"},
        "threshold": 0.5,
        "checks": [{"not_matches": "sorry"}, {"contains": "bonjour", "weight": 2}],
    }
    assert bye["id"] == "test-2"
    suite = read_suite(suite_yaml(found.document), "suite.yaml")
    asker = ScriptedAsker(lambda prompt, _: "Bonjour" if "Hello" in prompt else "Tschüss")
    assert run_suite(suite, asker).report.verdict == "passed"
    assert [request["messages"][0]["content"] for _, request in asker.requests] == [
        "Translate to French: Hello",
        "Translate to German: Bye",
    ]


@pytest.mark.parametrize(
    ("assertion", "right", "wrong"),
    [
        ("type: equals, value: Paris", "Paris", "paris"),
        ("type: contains, value: a.b", "x a.b", "x A.B axb"),
        ("type: icontains, value: PARIS", "paris", "rome"),
        ("type: starts-with, value: It", "It is", "it is"),
        ("type: regex, value: '^[0-9]+$'", "12", "a12"),
        ("type: contains-any, value: [Rome, Paris]", "Paris", "paris"),
        ("type: contains-all, value: [Rome, Paris]", "Paris, Rome", "Paris"),
        ("type: icontains-any, value: 'rome, paris'", "PARIS", "Berlin"),
        ("type: icontains-all, value: [rome, paris]", "PARIS ROME", "PARIS"),
        ("type: not-contains-all, value: [Rome, Paris]", "Paris", "Paris\nRome"),
        ("type: not-contains-any, value: [Rome, Paris]", "Berlin", "Paris"),
        ("type: is-json", '{"a": 1}', "{"),
        ("type: is-json, value: {required: [a]}", '{"a": 1}', "{}"),
        ("type: latency, threshold: 5000", "x", ""),
        ("type: cost, threshold: 1", "x", ""),
    ],
)
def test_an_assertion_means_the_same(assertion: str, right: str, wrong: str) -> None:
    assert holds(assertion, right)
    if wrong:
        assert not holds(assertion, wrong)


@pytest.mark.parametrize(
    ("assertion", "name"),
    [
        ("type: llm-rubric, value: is polite", "tests[0].assert[0] (llm-rubric)"),
        ("type: javascript, value: output.length", "tests[0].assert[0] (javascript)"),
        ("type: contains, value: file://a.txt", "tests[0].assert[0] (contains)"),
        ("type: equals, value: x, transform: y", "tests[0].assert[0].transform"),
        ("value: x", "tests[0].assert[0] (no assertion)"),
    ],
)
def test_what_is_not_carried_over_is_listed(assertion: str, name: str) -> None:
    assert name in one_assertion(assertion).left_out


def test_what_else_is_not_carried_over_is_listed(tmp_path: Path) -> None:
    found = imported(
        """
prompts: [file://prompt.txt, Another]
scenarios: []
tests:
  - file://more.yaml
  - vars: {text: [a, b]}
    assert: [{type: equals, value: x}]
  - vars: {text: a}
    assert: [{type: llm-rubric, value: x}]
  - vars: {text: a}
    options: {}
    assert: [{type: equals, value: x}]
""",
        tmp_path,
    )
    assert found.left_out == [
        "scenarios",
        "prompts[1] (a suite has one prompt)",
        "prompt.txt can't be read: No such file or directory",
        "prompts[0] (neither a text nor a file of text)",
        "tests[0] (a file, which has to be imported as a dataset)",
        "tests[1].vars.text (a file, or several values)",
        "tests[2].assert[0] (llm-rubric)",
        "tests[2] (none of its assertions is carried over)",
        "tests[3].options",
    ]


def test_a_chat_prompt_in_a_file_is_a_system_text_and_a_prompt(tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text(
        '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{text}}"}]'
    )
    test = "tests: [{vars: {text: a}, assert: [{type: equals, value: x}]}]"
    found = imported(f"prompts: [file://chat.json]\n{test}", tmp_path)
    assert (found.document["system"], found.document["prompt"]) == ("Be brief.", "{{text}}")


@pytest.mark.parametrize("text", ["[]", "prompts: [x]", "tests: file://x.csv", "tests: [{vars: {a: b}}]"])
def test_a_file_that_is_no_configuration_is_refused(text: Any) -> None:
    with pytest.raises(BadRequest, match=r"promptfooconfig\.yaml"):
        imported(text)
