"""llmos app eval: cases of a folder, run in this process."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmos.applications.code import assertions
from llmos.applications.code.sandbox import NoSandbox
from llmos.cli import main
from support.sandboxes import needs_sandbox

__all__ = ["needs_sandbox"]

PROGRAM = """
from llmos.apps import App

app = App.from_folder(__file__, brain=lambda text: f"You said {text}.", journal=False)
"""
CASES = """
- {id: says, input: Hello, expect: {contains: You said Hello}}
- {id: echoes, input: Hello, expect: {contains: hello}}
- {id: abstains, input: Hello, expect: {abstains: true}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.yaml").write_text("name: echo")
    (tmp_path / "app.py").write_text(PROGRAM)
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "cases.yaml").write_text(CASES)
    return tmp_path


def test_the_share_and_what_a_trivial_answer_passes_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["app", "eval", str(folder)]) == 4
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "app:echo: 2 of 3 cases pass: 67% (21% to 94% in 95 of 100 samples).",
        "A trivial answer, always the same answer, passes 2 of 3: 67%.",
        "Gate all_pass: failed. abstains must pass, and fails.",
        "Failed.",
    ]
    assert said.err.splitlines() == ["abstains: it doesn't abstain", "  You said Hello."]


def test_the_report_is_json_by_choice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "evals" / "gates.yaml").write_text(
        "cases: [{id: d, input: x, expect: {contains: x}}]\ngates: {must_pass: [d]}"
    )
    assert main(["app", "eval", str(folder), "--json", "--output", str(folder / "report.xml")]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (report["results"][0]["num_passed"], report["num_cases"], report["verdict"]) == (3, 4, "passed")
    assert [case["id"] for case in report["cases"] if case["state"] == "failed"] == ["abstains"]
    assert "<testcase" in (folder / "report.xml").read_text()


def test_a_folder_without_cases_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "evals" / "cases.yaml").unlink()
    assert main(["app", "eval", str(folder)]) != 0
    assert "has no cases. Write some into" in capsys.readouterr().err


@pytest.mark.process
@pytest.mark.usefixtures("needs_sandbox")
def test_a_check_in_python_runs_in_the_sandbox(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = "import os\nassert answer.startswith('You said')\nassert not os.path.exists('PATH'), 'it sees files'"
    case = {"id": "p", "input": "Hi", "expect": {"python": program.replace("PATH", str(folder / "app.yaml"))}}
    (folder / "evals" / "cases.yaml").write_text(json.dumps([case]))
    assert main(["app", "eval", str(folder)]) == 0, capsys.readouterr().err


def test_without_a_sandbox_a_check_in_python_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> Any:
        raise NoSandbox("there is no bubblewrap.")

    monkeypatch.setattr(assertions, "run_tests", refuse)
    (folder / "evals" / "cases.yaml").write_text('[{"id": "p", "input": "Hi", "expect": {"python": "assert answer"}}]')
    assert main(["app", "eval", str(folder)]) == 1
    assert "A check in Python needs a sandbox: there is no bubblewrap." in capsys.readouterr().err
