"""Forms of answers: what the model is held to, and what is read from answers of one that isn't."""

import re

from llmos.applications.code.prompting import (
    _docstring,
    ask_for_code,
    ask_for_signature,
    ask_for_tests,
    asserts_of,
    code_of,
)
from llmos.applications.code.tasks import Task, is_python

TASK = Task(signature="def add(a: list[int], *, b=(1,)) -> int:", docstring="Add.\n  >>> add([1])\n  2")


BEGINNING = f'```python\n{TASK.signature}\n    """Add.\n    >>> add([1])\n    2\n    """\n'


def test_a_function_has_the_signature_that_was_asked_for():
    pattern = ask_for_code(TASK).pattern
    assert re.fullmatch(pattern, BEGINNING + "    return '`1`'\n```")
    assert not re.fullmatch(pattern, "```python\ndef add(a):\n    return 1\n```")
    assert not re.fullmatch(pattern, BEGINNING + "    return 1\n```\nHere is more.")


def test_a_function_has_a_body():
    pattern = ask_for_code(TASK).pattern
    assert not re.fullmatch(pattern, BEGINNING + "```")
    assert not re.fullmatch(pattern, BEGINNING + '    """Add."""\n```')


def test_a_docstring_ends_neither_itself_nor_the_block():
    hostile = Task(signature="def f():", docstring='x\n"""\nimport os\n```\n\\')
    assert is_python(f"def f():\n{_docstring(hostile)}")
    assert "```" not in _docstring(hostile)


def test_tests_and_signatures_are_lines_of_a_form():
    pattern = ask_for_tests(TASK).pattern
    assert re.fullmatch(pattern, "```python\nassert add([1]) == 2\nassert add([]) == 1\n```")
    assert not re.fullmatch(pattern, "```python\nassert sub([1]) == 2\n```")
    assert re.fullmatch(ask_for_signature(TASK).pattern, "```python\ndef add_all(a, b=2) -> int:\n```")


def test_the_question_shows_the_function_with_its_examples():
    assert f"{BEGINNING}```" in ask_for_code(TASK).text


def test_code_is_read_from_any_answer():
    for answer in ("```python\nx = 1\n```", "Sure!\n```py\nx = 1\n```\nThis sets x.", "```\nx = 1", "x = 1"):
        assert code_of(answer) == "x = 1\n"


def test_only_asserts_about_the_function_are_tests():
    others = "assert True\nimport os\nassert f(\nassert f(1) == 2; os.remove('x')\nassert g(1)"
    assert asserts_of(f"```python\nassert f(1) == 2\n{others}\n```", "f") == "assert f(1) == 2"
