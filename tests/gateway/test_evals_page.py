"""docs/evals.md: its commands and its program do what it says."""

import subprocess
import sys
from pathlib import Path

import pytest

from llmos.evals.suite_reading import read_suite
from support.doc_pages import DocPage
from support.real_server import KEY, Running

pytestmark = pytest.mark.process

PAGE = DocPage("evals.md")


def test_the_commands_work_one_after_another(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", running.url)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    (script,) = PAGE.blocks("sh")
    ran = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "A trivial answer, always the same answer, passes 1 of 2: 50%." in ran.stdout
    assert "Gate must_pass: passed. All 1 cases pass." in ran.stdout
    assert (tmp_path / "report.xml").read_text().count("<testcase") == 3
    assert "Eval `capitals`: passed" in (tmp_path / "report.md").read_text()


def test_the_program_works(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", running.url)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    (program,) = PAGE.blocks("python")
    exec(compile(program, "docs/evals.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["passed 0 1", "[('hello', 'passed')]"]


def test_the_judges_and_the_mocks_of_the_page_are_those_of_a_suite() -> None:
    cases, judges = PAGE.blocks("yaml")
    polite = "- {id: a, input: x, expect: {judge: polite}}"
    suite = read_suite(f"{judges}cases:\n{cases}{polite}\n", "suite.yaml")
    assert [labelled.passes for labelled in suite.judges["polite"].labelled] == [True, False]
    assert [mock.tool for mock in suite.cases[0].mocks] == ["order_status", "refund"]
