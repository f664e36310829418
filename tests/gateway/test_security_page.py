"""docs/security.md: its commands and programs do what it says."""

import json
import re
import shlex
from pathlib import Path

import pytest

from llmos.cli import main
from llmos.security.permissions import ALL_PERMISSIONS
from llmos.security.roles import ROLES
from support.doc_pages import DocPage
from support.scripted import KEY

PAGE = DocPage("security.md")


@pytest.mark.thorough
def test_every_command_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path))
    monkeypatch.delenv("LLMOS_ENDPOINT", raising=False)
    commands = [line for block in PAGE.blocks("sh") for line in block.splitlines()]
    assert len(commands) > 10
    for command in commands:
        capsys.readouterr()
        main(["key", "list", "--json"])
        ids = [key["id"] for key in json.loads(capsys.readouterr().out)]
        program, *arguments = shlex.split(command.replace("KEY_ID", ids[-1] if ids else ""))
        assert program == "llmos"
        assert main(arguments) == 0, f"{command}: {capsys.readouterr().err}"


@pytest.mark.parametrize("program", PAGE.blocks("python"))
def test_every_program_works(served: str, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", served)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    exec(compile(program, "docs/security.md", "exec"), {})


def test_the_page_has_every_role() -> None:
    table = PAGE.text.partition("| role | may |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(ROLES)
    assert frozenset[str]().union(*ROLES.values()) == ALL_PERMISSIONS
