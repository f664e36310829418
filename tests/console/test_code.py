"""View code: every command that a page shows is one that the command line takes."""

import html
import re
import shlex

import httpx
import pytest
from typer.main import get_command

from llmos.cli import build_app
from llmos.console.pages import PAGES

pytestmark = pytest.mark.anyio

_COMMANDS = re.compile(r'<pre id="[a-z-]*code-command">(.*?)</pre>', re.DOTALL)


@pytest.mark.process
async def test_commands_are_ones_that_there_are(ann: httpx.AsyncClient) -> None:
    paths = [page.root + path for page in PAGES for method, path, _ in page.handlers if method == "GET"]
    found: set[str] = set()
    for path in paths:
        if "{" not in path:
            found |= set(_COMMANDS.findall((await ann.get(f"/console{path or '/'}")).text))
    commands = [line for each in found for line in html.unescape(each).splitlines() if line.startswith("llmos ")]
    assert len(commands) > 10
    assert {each: problem for each in commands if (problem := problem_of(each))} == {}


def problem_of(line: str) -> str:
    """Return what the command line would complain about; nothing is run."""
    command, arguments = get_command(build_app()), shlex.split(line.partition(" < ")[0])[1:]
    name = "llmos"
    try:
        while commands := getattr(command, "commands", None):
            name, *arguments = arguments
            command = commands[name]
        command.make_context(name, arguments)
    except Exception as error:  # Typer has its own copy of click, and of its errors.
        return f"{type(error).__name__}: {error}"
    return ""
