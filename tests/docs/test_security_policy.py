"""SECURITY.md: every line of its threats names tests that exist, and no risk of OWASP's list is left out."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
ROWS = [line for line in PAGE.partition("## Threats")[2].splitlines() if line.startswith("|")][2:]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


@cache
def names_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda value: value.rpartition("/")[2])
def test_every_test_that_is_named_exists(path: str, name: str) -> None:
    assert name.startswith("test_")
    assert name in names_in(path)


def test_every_line_names_a_test() -> None:
    assert len(ROWS) > 25
    assert [row for row in ROWS if not re.search(r"`tests/[\w/]+\.py::test_\w+` *(?:, `[^`]+` *)*\|$", row)] == []


def test_all_ten_risks_of_owasps_list_have_a_line() -> None:
    codes = re.findall(r"^\| (LLM\d\d) ", "\n".join(ROWS), re.MULTILINE)
    assert codes == [f"LLM{number:02}" for number in range(1, 11)]
