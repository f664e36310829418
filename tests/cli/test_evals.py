"""llmos eval: a suite on the real model without a server and on one, reports, exit statuses, and wrong suites."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from llmos.cli import main

SUITE = """
name: capitals
prompt: "{{input}} Answer with one word."
sampling: {max_tokens: 12}
cases:
  - {id: france, input: "What is the capital of France?", expect: {contains: Paris}}
  - {id: nothing, input: "What is the capital of France?", expect: {contains: Ouagadougou}}
"""


@pytest.fixture
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "capitals.yaml"
    path.write_text(SUITE)
    return path


def check_run(cli: Any, suite: Path) -> None:
    """Run a suite, look at it in every way, and remove it."""
    junit, page = suite.with_suffix(".xml"), suite.with_suffix(".md")
    ran = cli("eval", "run", str(suite), "--model", "smollm2", "-o", str(junit), "-o", str(page), "--json")
    assert ran.status == 4, ran.err
    found = json.loads(ran.out)
    assert [(case["id"], case["state"]) for case in found["cases"]] == [("france", "passed"), ("nothing", "failed")]
    assert (found["verdict"], found["results"][0]["versions"], found["num_done"]) == ("failed", ["smollm2@1"], 2)
    assert found["results"][0]["baseline"]["num_passed"] == 1
    [tests, gates] = ElementTree.parse(junit).getroot()
    assert (tests.get("tests"), tests.get("failures"), gates.get("failures")) == ("2", "1", "1")
    assert "| `smollm2@1` | 1 of 2 | 50% |" in page.read_text()
    shown = cli("eval", "show", found["id"])
    assert "smollm2 (smollm2@1): 1 of 2 cases pass: 50%" in shown.out
    assert "A trivial answer, always the same answer, passes 1 of 2: 50%." in shown.out
    assert "nothing: it lacks 'Ouagadougou'" in shown.err
    assert found["id"] in cli("eval", "list", "--suite", "capitals").out
    compared = cli("eval", "compare", found["id"], found["id"])
    assert compared.status == 5
    assert "may be better or worse than" in compared.out
    exported = suite.with_suffix(".json")
    assert cli("eval", "export", found["id"], str(exported)).status == 0
    assert json.loads(exported.read_text())["id"] == found["id"]
    assert cli("eval", "rm", found["id"]).out == f"Removed {found['id']}.\n"
    assert cli("eval", "show", found["id"]).status == 2


@pytest.mark.process
def test_a_suite_runs_without_a_server(
    cli: Any, suite: Path, smollm2_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOS_HOME", str(smollm2_home))
    check_run(cli, suite)


@pytest.mark.process
def test_a_suite_runs_on_a_server(cli: Any, suite: Path, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", served.url)
    monkeypatch.setenv("LLMOS_API_KEY", (served.home / "keys" / "owner").read_text().strip())
    check_run(cli, suite)


def test_a_wrong_suite_names_the_line_before_anything_is_loaded(cli: Any, suite: Path) -> None:
    suite.write_text("cases:\n  - {id: a, input: x, expect: {contans: y}}")
    wrong = cli("eval", "run", str(suite), "--model", "smollm2")
    assert wrong.status == 2
    assert "capitals.yaml, line 2: there is no check `contans`. Did you mean `contains`?" in wrong.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "missing.yaml", "--model", "m"], "missing.yaml can't be read"),
        (["run", "SUITE"], "No model is given."),
        (["run", "SUITE", "--against", "m"], "--against compares with --model."),
        (["run", "SUITE", "--model", "m", "--against", "m"], "can't be compared with itself"),
        (["run", "SUITE", "--model", "app:shop"], "Start it first: llmos serve"),
        (["run", "SUITE", "--model", "m", "-o", "report.pdf"], "neither .xml, .md nor .json"),
        (["run", "SUITE", "--model", "nothing"], "nothing"),
        (["run", "questions", "--model", "m"], "questions"),
        (["show", "eval-1"], "There is no run 'eval-1' of an eval."),
    ],
)
def test_wrong_use_is_one_line(cli: Any, suite: Path, arguments: list[str], message: str) -> None:
    found = cli("eval", *[str(suite) if each == "SUITE" else each for each in arguments])
    assert found.status == 2
    assert message in found.err
    assert found.err.count("\n") == 1


def test_no_runs_yet(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "list"]) == 0
    assert "To make one: llmos eval run" in capsys.readouterr().err


def test_a_configuration_of_promptfoo_becomes_a_suite(cli: Any, tmp_path: Path) -> None:
    config, suite = tmp_path / "promptfooconfig.yaml", tmp_path / "suite.yaml"
    config.write_text("""
prompts: ["Translate to {{language}}: {{input}}"]
providers: [openai:gpt-4o]
tests:
  - vars: {language: French, input: Hello}
    assert:
      - {type: icontains, value: bonjour}
      - {type: llm-rubric, value: is polite}
""")
    made = cli("eval", "import", str(config), "-o", str(suite))
    assert made.status == 0
    assert made.out.splitlines() == [f"Wrote {suite}: 1 cases."]
    assert "Not carried over: providers (models are named by --model)" in made.err
    assert "Not carried over: tests[0].assert[1] (llm-rubric)" in made.err
    assert cli("eval", "run", str(suite)).err.startswith("Error: No model is given.")
