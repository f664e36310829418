"""The template of `code`: it loads, its prompt is asked, and its cases are tasks."""

from importlib.resources import files
from pathlib import Path

import pytest

from llmos.applications import code
from llmos.applications.code.tasks import task_of
from llmos.apps.testing import Script
from llmos.evals.suites import Case
from llmos.hosting.evals import read_folder
from llmos.hosting.folder import AppFolder

FOLDER = Path(str(files(code))) / "template"
CASES = read_folder(FOLDER).cases


@pytest.mark.process
@pytest.mark.usefixtures("needs_sandbox")
def test_the_folder_is_an_app_that_works() -> None:
    app = AppFolder.open(FOLDER).load()
    answer = "```python\ndef add(a: int, b: int) -> int:\n    return a + b\n```"
    with Script(answer).plays(app) as script:
        run = app.run(CASES[0].input)
    assert run.text.endswith("It passes your tests (2).")
    assert script.prompts[0].messages[0]["content"].startswith("You write Python 3 functions")
    assert script.prompts[0].options["max_tokens"] == 600
    assert script.prompts[0].options["regex"].startswith("```python\ndef add\\(a: int, b: int\\)")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_cases_are_tasks_with_tests(case: Case) -> None:
    task = task_of(case.input)
    assert task.name
    assert task.tests.count("assert") == 2
