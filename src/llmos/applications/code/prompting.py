"""The prompts for the model, and the form that its answers are held to while it writes.

Every answer is a block of code. Its beginning is fixed where it is known: a function has the signature that was asked
for, and a test is an assert about it.
"""

import ast
import re
from dataclasses import dataclass
from typing import Any

from llmos.applications.code.sandbox import Report
from llmos.applications.code.tasks import Task, is_python

_BLOCK = "```python\n"
_CODE = r"(?:[^`]|`[^`]|``[^`])*"
"""Anything but the end of the block."""
_MAX_TESTS = 4
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$#&\-~]")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the regular expression that its answer matches."""

    text: str
    pattern: str

    @property
    def options(self) -> dict[str, Any]:
        return {"regex": self.pattern}


def ask_for_signature(task: Task) -> Question:
    text = f"{task.task}\n\nWrite the first line of a Python function that does this: `def`, a name that says what"
    text += " it does, its parameters, and a colon. Nothing else."
    return Question(text, rf"{_BLOCK}def [a-z_][a-z0-9_]{{0,40}}\([^`\n]{{0,200}}\)(?: -> [^`\n:]{{1,60}})?:\n```")


def ask_for_tests(task: Task) -> Question:
    asked = f"Write {_MAX_TESTS} tests of this function, each one line: `assert {task.name}(…) == …`"
    text = f"{_description(task)}\n\n{asked}"
    line = rf"assert {_escape(task.name)}\([^`\n]{{0,200}}\n"
    return Question(text, rf"{_BLOCK}(?:{line}){{1,{_MAX_TESTS}}}```")


def ask_for_code(task: Task) -> Question:
    text = f"Write this function in Python.\n\n{_description(task)}"
    if task.tests:
        text += f"\n\nIt must pass these tests:\n\n{_BLOCK}{task.tests.strip()}\n```"
    return Question(text, _function_pattern(task))


def ask_for_repair(task: Task, code: str, report: Report) -> Question:
    """Ask for the function again, with what its last version does wrong. Versions before that are left out."""
    failed = [each.message for each in report.tests if not each.passed][:3] or [report.why]
    text = f"{ask_for_code(task).text}\n\nThis is wrong:\n\n{_BLOCK}{code.strip()}\n```\n\n"
    text += "What failed:\n" + "\n".join(f"- {each}" for each in failed) + "\n\nWrite the whole function again, right."
    return Question(text, _function_pattern(task))


def code_of(answer: str) -> str:
    """Return the code in an answer, also in one of a model that isn't held to a form, or one that was cut."""
    found = re.search(r"```(?:python|py)?[ \t]*\n(.*?)(?:\n?```|\Z)", answer, re.DOTALL)
    return (found[1] if found else answer).strip("\n") + "\n"


def signature_of(answer: str) -> str:
    """Return the first signature in an answer that is valid Python; empty if there is none."""
    for line in code_of(answer).splitlines():
        if line.startswith("def ") and is_python(f"{line}\n    pass"):
            return line.strip()
    return ""


def asserts_of(answer: str, name: str) -> str:
    """Return those lines of an answer that are tests of the function, each once."""
    lines = [line for line in code_of(answer).splitlines() if is_python(line) and _is_test(line, name)]
    return "\n".join(dict.fromkeys(lines))


def _is_test(line: str, name: str) -> bool:
    """Return whether a line is an assert that calls the function."""
    body = ast.parse(line).body
    if len(body) != 1 or not isinstance(body[0], ast.Assert):
        return False
    calls = [each.func for each in ast.walk(body[0].test) if isinstance(each, ast.Call)]
    return any(isinstance(each, ast.Name) and each.id == name for each in calls)


def _function_pattern(task: Task) -> str:
    """Return the pattern of the function: signature and docstring stand there, and a statement follows.

    A small model otherwise copies the docstring, and ends.
    """
    if not task.signature:
        return f"{_BLOCK}{_CODE}\n```"
    beginning = "\n".join(part for part in (task.signature.strip(), _docstring(task)) if part)
    return rf"{_BLOCK}{_escape(beginning)}\n    [^\s\"'`#]{_CODE}\n```"


def _description(task: Task) -> str:
    """Return the task as text: the words, and what of the code is given."""
    given = "\n".join(part.strip("\n") for part in (task.preamble, task.signature, _docstring(task)) if part)
    parts = [task.task, f"{_BLOCK}{given}\n```" if given else ""]
    return "\n\n".join(part for part in parts if part)


def _docstring(task: Task) -> str:
    if not task.docstring:
        return ""
    text = task.docstring.strip().replace("\\", "\\\\").replace('"""', "'''").replace("`", "'")
    lines = [line.strip() for line in text.splitlines()]
    return "\n".join(f"    {line}" if line else "" for line in ['"""' + lines[0], *lines[1:], '"""'])


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", text)
