"""docs/audit.md: its commands and its program do what it says."""

import re
import shlex
from pathlib import Path

import pytest

from llmos.cli import main
from llmos.core.schemas.audit import AuditEntryDescription
from support.doc_pages import DocPage
from support.scripted import KEY

PAGE = DocPage("audit.md")


def test_every_command_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LLMOS_ENDPOINT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["project", "create", "acme"]) == 0
    commands = [line for block in PAGE.blocks("sh") for line in block.splitlines()]
    assert len(commands) > 5
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "llmos"
        assert main(arguments) == 0, f"{command}: {capsys.readouterr().err}"


@pytest.mark.parametrize("program", PAGE.blocks("python"))
def test_every_program_works(served: str, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", served)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    exec(compile(program, "docs/audit.md", "exec"), {})


def test_the_page_has_every_field_of_an_entry() -> None:
    table = PAGE.text.partition("| field | |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) >= set(AuditEntryDescription.__struct_fields__) - {"format"}
