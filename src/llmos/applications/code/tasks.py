"""Task: what is to be written, and the tests that say when it is done."""

import ast
import json
import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmos.apps.functions import faults_of
from llmos.core.errors import BadRequest

MAX_CHARS = 64_000


class Task(BaseModel):
    """A task for the application `code`. Python only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str = Field(default="", max_length=MAX_CHARS)
    """A description of the function to write."""
    signature: str = Field(default="", max_length=2_000)
    """The signature, such as `def median(xs: list[float]) -> float:`. Without it, the model chooses one."""
    docstring: str = Field(default="", max_length=MAX_CHARS)
    preamble: str = Field(default="", max_length=MAX_CHARS)
    """Code that stands before the function, such as imports. It is part of the result."""
    tests: str = Field(default="", max_length=MAX_CHARS)
    """Asserts, functions named test_…, classes of unittest, or check(candidate). Without any, the model writes some."""

    @property
    def name(self) -> str:
        """The name of the function; empty if nobody has chosen one."""
        found = re.search(r"\bdef\s+(\w+)", self.signature)
        return found[1] if found else ""


def task_of(input: Any) -> Task:
    """Return the task that an input is: a text, or the fields of Task, also as JSON. Raises BadRequest."""
    fields = _object_of(input)
    try:
        task = Task(**fields) if fields is not None else Task(task=str(input))
    except ValidationError as error:
        raise BadRequest(f"The task is wrong: {faults_of(error)}.", param="input") from None
    if not (task.task or task.docstring or task.signature):
        raise BadRequest("There is no task. Describe the function, or give its signature.", param="input")
    if task.signature:
        _check_signature(task.signature)
    for name in ("preamble", "tests"):
        _check_python(getattr(task, name), f"`{name}`")
    return task


def with_signature(task: Task, signature: str) -> Task:
    return task.model_copy(update={"signature": signature})


def about_code(task: Task, code: str) -> Task:
    """Return the task with the code that it may be about: that of an answer before."""
    if not code:
        return task
    text = f"{task.task}\n\nThe code until now:\n\n```python\n{code.strip()}\n```"
    return task.model_copy(update={"task": text})


def is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _object_of(input: Any) -> dict[str, Any] | None:
    if isinstance(input, dict):
        return input
    if not str(input).lstrip().startswith("{"):
        return None
    try:
        read = json.loads(input)
    except ValueError:
        return None  # A text that begins with a brace.
    return read if isinstance(read, dict) else None


def _check_signature(signature: str) -> None:
    if not (signature.rstrip().endswith(":") and is_python(f"{signature}\n    pass")):
        raise BadRequest(
            f"The signature {signature.strip()[:80]!r} isn't one such as `def median(xs: list) -> float:`.",
            param="signature",
        )


def _check_python(text: str, what: str) -> None:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise BadRequest(f"{what} aren't valid Python: {error}.", param=what.strip("`")) from None
