"""The application `code`: what the model is asked, what is repaired, and what the answer says."""

import json

import pytest

from llmos.applications.code import Coder, coding
from llmos.applications.code.sandbox import NoSandbox, running
from llmos.apps import App
from llmos.apps.testing import Script
from llmos.core.errors import BadRequest

needs_sandbox = [pytest.mark.process, pytest.mark.usefixtures("needs_sandbox")]

SIGNATURE = "def median(xs: list) -> float:"
TASK = {"signature": SIGNATURE, "docstring": "Return the median.", "tests": "assert median([1, 2]) == 1.5"}
WRONG = f"```python\n{SIGNATURE}\n    return sorted(xs)[len(xs) // 2]\n```"
WORSE = f"```python\n{SIGNATURE}\n    return xs[0]\n```"
RIGHT = f"```python\n{SIGNATURE}\n    xs = sorted(xs)\n    return (xs[(len(xs) - 1) // 2] + xs[len(xs) // 2]) / 2\n```"


@pytest.fixture
def app() -> App:
    return App("code", model="dialogue", prompt="You write Python.", brain=Coder().write)


class TestWithASandbox:
    pytestmark = needs_sandbox

    def test_code_that_passes_is_the_answer(self, app):
        with Script(RIGHT).plays(app) as script:
            run = app.run(TASK)
        assert run.text.endswith("It passes your tests (1).")
        assert run.output["passed"]
        assert run.output["tests_by"] == "caller"
        (tested,) = [step for step in run.steps if step.name == "test_code"]
        assert tested.result["status"] == "passed"
        assert "assert median([1, 2]) == 1.5" in script.prompts[0].messages[-1]["content"]

    def test_what_failed_goes_back_without_older_versions(self, app):
        with Script(WORSE, WRONG, RIGHT).plays(app) as script:
            run = app.run(json.dumps(TASK))
        assert run.text.endswith("It passes your tests (1) after 3 attempts.")
        assert [each["report"]["status"] for each in run.output["attempts"]] == ["failed", "failed", "passed"]
        last = script.prompts[2].messages[-1]["content"]
        assert "got 2, expected 1.5" in last
        assert "xs[0]" not in last

    def test_it_repairs_twice_and_says_what_fails(self, app):
        versions = [WORSE, WRONG, WRONG.replace("// 2", "// 3")]
        with Script(*versions).plays(app):
            run = app.run(TASK)
        assert not run.output["passed"]
        assert len(run.output["attempts"]) == 3
        assert "It fails your tests after 3 attempts:\n\n- line 1: assert median([1, 2]) == 1.5; got 1" in run.text

    def test_a_model_that_repeats_itself_is_not_asked_again(self, app):
        with Script(WRONG, WRONG).plays(app):
            run = app.run(TASK)
        assert len(run.output["attempts"]) == 1
        assert "wrote the same code again" in run.notes[0]

    def test_in_a_session_a_task_is_about_the_code_before(self, app):
        answers = [RIGHT, f"```python\n{SIGNATURE}\n```", "```python\nassert median([2]) == 2\n```", RIGHT]
        with Script(*answers).plays(app) as script:
            app.run(json.dumps(TASK), session="u1")
            app.run("Return 0 for an empty list.", session="u1")
        assert "The code until now:\n\n```python\ndef median(xs: list)" in script.prompts[1].messages[-1]["content"]

    def test_without_tests_the_model_writes_them_and_the_answer_says_so(self, app):
        tests = "```python\nassert median([2]) == 2\nassert median([1, 3]) == 2\nassert median([1,\nassert True\n```"
        with Script(f"```python\n{SIGNATURE}\n```", tests, RIGHT).plays(app):
            run = app.run("Return the median of a list.")
        assert "It passes tests that the model wrote (2)." in run.text
        assert run.output["tests_by"] == "model"
        assert run.output["tests"] == "assert median([2]) == 2\nassert median([1, 3]) == 2"

    def test_without_usable_tests_nothing_is_called_passed(self, app):
        with Script("I can't", "assert", RIGHT).plays(app):
            run = app.run("Return the median of a list.")
        assert not run.output["passed"]
        assert "It isn't tested" in run.text

    def test_code_that_hangs_or_attacks_is_reported(self, app):
        hostile = f"```python\n{SIGNATURE}\n    return open('/etc/passwd').read()\n```"
        with Script(hostile, hostile).plays(app):
            assert "No such file or directory" in app.run(TASK).text

    def test_what_stands_before_the_function_is_part_of_the_code(self, app):
        task = {**TASK, "preamble": "import statistics"}
        with Script(f"```python\n{SIGNATURE}\n    return statistics.median(xs)\n```").plays(app):
            assert app.run(task).output["passed"]


@pytest.mark.parametrize(
    ("input", "problem"),
    [
        ("", "There is no task"),
        ({"tests": "assert f()"}, "There is no task"),
        ({"signature": "median(xs)"}, "isn't one such as `def median"),
        ({"task": "Add", "tests": "assert ("}, "`tests` aren't valid Python"),
        ({"task": "Add", "test": "assert True"}, "The task is wrong: test: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_task_is_one_clear_error(app, input, problem):
    with Script().plays(app), pytest.raises(BadRequest, match=r".*") as raised:
        app.run(input)
    assert problem in raised.value.message
    assert "\n" not in raised.value.message


def test_without_a_sandbox_the_model_is_not_even_asked(app, monkeypatch):
    def refuse(*_args, **_options):
        raise NoSandbox("This machine has no sandbox.")

    monkeypatch.setattr(coding, "check_sandbox", refuse)
    monkeypatch.setattr(running, "run_tests", refuse)
    with Script().plays(app), pytest.raises(NoSandbox):
        app.run(TASK)
