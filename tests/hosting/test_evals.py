"""Evals of a folder: its cases run in this process, with the gates and verdicts of every eval."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from llmos.apps import App
from llmos.apps.testing import Call, Script
from llmos.core.errors import BadRequest
from llmos.core.schemas.app_manifests import AppManifest, GatesManifest
from llmos.core.schemas.evals import EvalRunDetails
from llmos.evals.suites import Gates, Suite
from llmos.hosting.evals import evaluate, gates_of, read_folder

CASES = """
- {id: greets, input: Hello, expect: {contains: [good, day], not_contains: rain}}
- {id: echoes, input: Hi, expect: {matches: "^Hi"}}
- {id: exact, input: {topic: x}, expect: {equals: Good day.}}
- {id: cites, input: Hello, variables: {}, expect: {cites: faq.md}}
- {id: answers, input: Hello, expect: {abstains: false, cites: false}}
"""


def suite(folder: Path, text: str = CASES, name: str = "cases.yaml") -> Suite:
    (folder / "evals").mkdir(exist_ok=True)
    (folder / "evals" / name).write_text(text)
    return read_folder(folder)


def report(found: Suite, answer: str) -> EvalRunDetails:
    app = App("greeter")
    with Script(lambda prompt: answer).plays(app):
        return asyncio.run(evaluate(app, found))


def test_the_share_that_passes_has_an_interval_and_a_trivial_answer_beside_it(tmp_path: Path) -> None:
    found = report(suite(tmp_path), "Good day.")
    [result] = found.results
    assert (found.num_cases, result.num_passed, result.num_failed, found.models) == (5, 3, 2, ["app:greeter"])
    assert 0.2 < result.low < 0.6 < result.high < 0.9
    assert (result.baseline.name, result.baseline.num_passed) == ("always the same answer", 3)
    assert [(case.id, case.reason) for case in found.cases if case.state != "passed"] == [
        ("echoes", "it does not match '^Hi'"),
        ("cites", "it does not cite faq.md"),
    ]
    assert found.cases[1].answers[0].text == "Good day."
    assert (found.verdict, found.exit_status) == ("failed", 4)


def test_a_run_that_fails_is_an_error_of_its_case(tmp_path: Path) -> None:
    app = App("greeter", prompt="You work for {{shop}}.")
    with Script("Hi").plays(app):
        found = asyncio.run(evaluate(app, suite(tmp_path)))
    assert {case.state for case in found.cases} == {"error"}
    assert "'shop'" in found.cases[0].reason
    assert found.verdict == "could_not_run"


def test_always_abstaining_is_a_trivial_answer_too(tmp_path: Path) -> None:
    found = report(suite(tmp_path, "- {id: a, input: Why, expect: {abstains: true}}"), "Because.")
    baseline = found.results[0].baseline
    assert (baseline.name, baseline.num_passed) == ("always abstaining", 1)


def test_all_files_are_one_suite_with_the_gates_of_the_one_that_has_some(tmp_path: Path) -> None:
    suite(tmp_path, "cases: [{id: a, input: x, expect: {contains: day}}]\ngates: {pass_rate: 0.1}", "a.yaml")
    found = report(suite(tmp_path, "- {id: b, input: x, expect: {contains: night}}", "b.yaml"), "Good day.")
    assert [(case.id, case.state) for case in found.cases] == [("a", "passed"), ("b", "failed")]
    assert [gate.name for gate in found.gates] == ["pass_rate"]
    with pytest.raises(BadRequest, match=r"c.yaml: the id 'a' is taken by a case in .*a.yaml"):
        suite(tmp_path, "- {id: a, input: x, expect: {contains: night}}", "c.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id: a", "there is no field `id` here"),
        ("- {id: a, input: x}", "line 1: the case 'a' checks nothing"),
        ("- {id: a, input: x, expect: {contain: y}}", "Did you mean `contains`"),
        ("- {id: a, input: x, expect: {matches: '('}}", "is no regular expression"),
        ("[]", "there are no cases"),
        ("- {id: a", "line 1"),
    ],
)
def test_wrong_cases_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        suite(tmp_path, text)


ASKING = """
cases:
  - {id: near, input: Hello, expect: {similar: {to: Good day., at_least: 0.9, model: minilm}}}
  - {id: likely, input: Hello, expect: {likelihood: {options: [" yes", " no"], best: " yes"}}}
  - {id: short, input: Hello, expect: {python: "assert len(answer) < 20"}}
  - {id: long, input: Hello, expect: {python: "assert len(answer) > 20, 'too short'"}}
"""


@dataclass
class Models:
    """The models of a server, and a sandbox."""

    asked: list[tuple[str, Any]] = field(default_factory=list)

    async def post(self, path: str, body: Mapping[str, Any], key: str = "") -> Mapping[str, Any]:
        self.asked.append((path, body.get("model")))
        if path == "/v1/embeddings":
            return {"data": [{"embedding": [1.0, 0.0]} for _ in body["input"]]}
        return {"options": [{"normalized_logprob": -0.1}, {"normalized_logprob": -2.0}]}

    async def run_python(self, program: str) -> str:
        try:
            exec(program, {})
        except AssertionError as error:
            return str(error)
        return ""


def test_checks_ask_the_models_of_the_server_and_the_sandbox(tmp_path: Path) -> None:
    manifest = AppManifest(name="greeter", model="dialogue")
    app, models = App("greeter"), Models()
    with Script(lambda prompt: "Good day.").plays(app):
        found = asyncio.run(evaluate(app, gates_of(manifest, suite(tmp_path, ASKING)), asker=models))
    assert [(case.id, case.state, case.reason) for case in found.cases] == [
        ("near", "passed", ""),
        ("likely", "passed", ""),
        ("short", "passed", ""),
        ("long", "failed", "too short"),
    ]
    assert sorted(models.asked) == [("/llmos/v1/likelihood", "dialogue"), ("/v1/embeddings", "minilm")]


def test_the_gates_of_app_yaml_hold_where_the_suite_has_none(tmp_path: Path) -> None:
    manifest = AppManifest(name="greeter", gates=GatesManifest(pass_rate=0.1))
    assert gates_of(manifest, suite(tmp_path)).gates == Gates(pass_rate=0.1)
    own = suite(tmp_path, "cases: [{id: a, input: x, expect: {contains: x}}]\ngates: {all_pass: true}")
    assert gates_of(manifest, own).gates == Gates(all_pass=True)


def test_two_files_can_not_have_different_judges_of_one_name(tmp_path: Path) -> None:
    text = "cases: [{{id: {0}, input: x, expect: {{judge: polite}}}}]\n"
    text += "judges: {{polite: {{model: m, version: m@1, question: Is {0} polite}}}}"
    suite(tmp_path, text.format("a"), "a.yaml")
    with pytest.raises(BadRequest, match=r"b\.yaml: there is another judge 'polite'"):
        suite(tmp_path, text.format("b"), "b.yaml")


def test_a_case_answers_tools_and_has_no_effects_unless_the_suite_says_so(tmp_path: Path) -> None:
    called: list[str] = []
    app = App("shop")

    @app.tool
    @app.step(effect=True)
    def refund(order: str) -> str:
        """Give the money back."""
        called.append(order)
        return f"{order} is refunded"

    def report_of(text: str) -> EvalRunDetails:
        with Script(Call("refund", order="A1"), lambda prompt: str(prompt.messages[-1]["content"])).plays(app):
            return asyncio.run(evaluate(app, suite(tmp_path, text)))

    case = "id: a, input: Refund A1, expect: {contains: refunded, tool_called: refund}"
    refused = report_of(f"- {{{case}}}")
    assert (refused.verdict, refused.cases[0].state, called) == ("could_not_run", "error", [])
    assert "refund, which has effects" in refused.cases[0].reason
    mocked = report_of(f"- {{{case}, mocks: [{{tool: refund, result: A1 is refunded}}]}}")
    assert (mocked.verdict, called) == ("passed", [])
    allowed = report_of(f"effects: true\ncases:\n  - {{{case}}}")
    assert (allowed.verdict, called) == ("passed", ["A1"])
