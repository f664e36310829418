"""Suites: what they are read from, and what is said of wrong ones, with file and line."""

import pytest

from llmos.core.errors import BadRequest
from llmos.evals.suite_reading import parse_suite, read_suite

GOOD = """
name: support
model: smollm2
system: You work for {{shop}}.
prompt: "Answer: {{input}}"
variables: {shop: Acme}
checks:
  - max_tokens: 50
cases:
  - {id: hours, input: When do you open?, expect: {contains: [nine, five], not_contains: ten}}
  - id: city
    input: Where?
    expected: Berlin
    checks:
      - {equals: "{{expected}}", weight: 2}
gates: {pass_rate: 0.8, must_pass: [hours]}
""".replace("When do you open?", '"When do you open?"').replace("Where?", '"Where?"')


def test_checks_of_a_case_of_the_suite_and_of_lists_are_put_together() -> None:
    suite = read_suite(GOOD, "suite.yaml")
    hours, city = suite.cases
    assert [(check.name, check.value) for check in hours.checks] == [
        ("contains", "nine"),
        ("contains", "five"),
        ("not_contains", "ten"),
        ("max_tokens", 50),
    ]
    assert (city.checks[0].name, city.checks[0].value, city.checks[0].weight) == ("equals", "Berlin", 2)
    assert (suite.gates.pass_rate, suite.gates.must_pass) == (0.8, ["hours"])
    assert hours.variables == {"shop": "Acme"}


def test_a_list_of_cases_is_a_suite_and_the_same_text_has_the_same_digest() -> None:
    text = "- {id: a, input: x, expect: {equals: y}}"
    assert read_suite(text, "one.yaml", "one").name == "one"
    assert read_suite(text, "one.yaml").digest == read_suite(text + "\n", "two.yaml").digest
    assert read_suite(text, "one.yaml").digest != read_suite(text.replace("y", "z"), "one.yaml").digest


def test_a_kept_document_is_read_as_the_same_suite() -> None:
    suite = read_suite(GOOD, "suite.yaml")
    assert parse_suite(suite.document, "The suite").digest == suite.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s.yaml is empty"),
        ("[]", "s.yaml, line 1: there are no cases"),
        ("cases: []", "s.yaml, line 1: there are no cases"),
        ("name: x", "s.yaml: `cases` must be a list"),
        ("- a", "s.yaml, line 1: this must be an object"),
        ("- {input: x, expect: {equals: y}}", "line 1: a case needs an `id`"),
        ("- {id: a, expect: {equals: y}}", "line 1: the case 'a' has no `input`"),
        ("- {id: a, input: x}", "line 1: the case 'a' checks nothing"),
        ("- {id: a, input: x, expect: {equals: y}}\n- {id: a, input: x, expect: {equals: y}}",
         "line 2: the id 'a' is taken by the case at line 1"),
        ("- id: a\n  input: x\n  expect:\n    contans: y", "line 4: there is no check `contans`. Did you mean"),
        ("- {id: a, input: x, expct: {equals: y}}", "there is no field `expct` here. Did you mean `expect`?"),
        ("- {id: a, input: x, expect: {contains: []}}", "`contains` is an empty list"),
        ("- {id: a, input: x, expect: {contains: ''}}", "`contains` is empty: every text has it"),
        ("- {id: a, input: x, expect: {contains: yes}}", "must be a text, not True: put it into quotes"),
        ("- {id: a, input: x, expect: {matches: '('}}", "`matches` is no regular expression"),
        ("- {id: a, input: x, expect: {max_tokens: 0}}", "no answer has so little"),
        ("- {id: a, input: x, expect: {chrf: {reference: y, at_least: 2}}}", "which none reaches"),
        ("- {id: a, input: x, expect: {json_schema: false}}", "which no value follows"),
        ("- {id: a, input: x, expect: {json_schema: {type: strng}}}", "is no JSON Schema"),
        ("- {id: a, input: x, expect: {python: 'x ='}}", "is no Python"),
        ("- {id: a, input: x, expect: {python: 'x = 1'}}", "has no `assert`"),
        ("- {id: a, input: x, expect: {likelihood: {options: [a, b], best: c}}}", "isn't among its options"),
        ("- {id: a, input: x, expect: {contains: y, not_contains: y}}", "`contains` and `not_contains` are opposites"),
        ("- {id: a, input: x, expect: {equals: y, starts_with: z}}", "what `equals` asks for fails `starts_with`"),
        ("- {id: a, input: x, expect: {judge: polite}}", "there is no judge 'polite'"),
        ("- {id: a, input: x, mocks: 3, expect: {equals: y}}", "`mocks` must be a list"),
        ("- {id: a, input: x, mocks: [{result: 3}], expect: {equals: y}}", "a mock needs `tool`"),
        ("- {id: a, input: x, mocks: [{tool: t}], expect: {equals: y}}", "either `result` or `error`"),
        ("- {id: a, input: x, mocks: [{tool: t, resul: 3}], expect: {equals: y}}", "Did you mean `result`?"),
        ("- {id: a, input: x, mocks: [{tool: t, result: 3, arguments: 4}], expect: {equals: y}}", "Expected `object"),
        ("- {id: a, input: x, replays: r, mocks: [{tool: t, result: 3}], expect: {equals: y}}", "not both"),
        ("cases: [{id: a, input: x, expect: {equals: y}}]\neffects: some", "`effects` must be true or false"),
        ("- {id: a, input: x, threshold: 2, expect: {equals: y}}", "`threshold` must be a share"),
        ("cases: [{id: a, input: x, expect: {equals: y}}]\ngates: {pass_rate: 1}", "Use `all_pass: true`"),
        ("cases: [{id: a, input: x, expect: {equals: y}}]\ngates: {must_pass: [aa]}", "Did you mean 'a'?"),
        ("cases: [{id: a, input: x, expect: {equals: y}}]\nsampling: {temprature: 1}", "Did you mean `temperature`?"),
        ("cases: [{id: a, input: x, expect: {equals: y}}]\nrepeat: 0", "line 2: `repeat` must be a whole number"),
        ("a: &a [x, x]\nb: [*a, *a]\ncases: [*a]", "s.yaml, line 2: aliases"),
        ("cases: {{", "s.yaml, line"),
    ],
)  # fmt: skip
def test_a_wrong_suite_is_one_line_with_file_and_line(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as error:
        read_suite(text, "s.yaml")
    assert message in error.value.message
    assert error.value.message.startswith("s.yaml")


def test_a_document_names_the_case() -> None:
    cases = [{"id": "a", "input": "x", "expect": {"equals": "y"}}, {"id": "b", "input": "x", "expect": {"equls": "y"}}]
    with pytest.raises(BadRequest, match=r"The suite, case 2: there is no check `equls`"):
        parse_suite({"cases": cases}, "The suite")


def test_a_weight_of_zero_alone_checks_nothing() -> None:
    with pytest.raises(BadRequest, match="checks nothing"):
        read_suite("- {id: a, input: x, checks: [{equals: y, weight: 0}]}", "s.yaml")
