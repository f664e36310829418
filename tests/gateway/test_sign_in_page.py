"""docs/sign-in.md: its commands and programs do what it says."""

import io
import shlex
import sys
from pathlib import Path

import pytest

from llmos.cli import main
from llmos.core.config import load_settings
from llmos.gateway.services import Services
from llmos.security.oidc.flow import CALLBACK_PATH
from support.doc_pages import DocPage
from support.scripted import KEY

PAGE = DocPage("sign-in.md")


@pytest.mark.thorough
def test_every_command_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path))
    monkeypatch.delenv("LLMOS_ENDPOINT", raising=False)
    commands = [line for block in PAGE.blocks("sh") for line in block.splitlines()]
    assert len(commands) > 10
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "llmos"
        monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery staple\n"))
        assert main(arguments) == 0, f"{command}: {capsys.readouterr().err}"


@pytest.mark.parametrize("program", PAGE.blocks("python"))
def test_every_program_works(served: str, services: Services, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", served)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    exec(compile(program, "docs/sign-in.md", "exec"), {})
    assert services.sessions.counts() == {}


@pytest.mark.parametrize("settings", PAGE.blocks("ini"))
def test_the_settings_are_read(settings: str) -> None:
    environ = dict(line.split("=", 1) for line in settings.splitlines())
    oidc = load_settings({"LLMOS_HOME": "/nowhere", **environ}).oidc
    assert oidc is not None
    assert [(each.group, each.role, each.project) for each in oidc.roles] == [
        ("llmos-admins", "owner", "owner"),
        ("operations", "operator", "owner"),
        ("shop-team", "developer", "shop"),
    ]


def test_the_page_names_the_redirect_uri() -> None:
    assert f"`{CALLBACK_PATH}`" in PAGE.text
