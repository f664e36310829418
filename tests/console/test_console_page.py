"""docs/console.md: its command, its program and its policy are true."""

import pytest
from fastapi import FastAPI

from llmos.cli import main
from llmos.console.app import CONTENT_SECURITY_POLICY
from llmos.console.page import Page
from llmos.gateway.services import Services
from support.doc_pages import DocPage
from support.scripted_gateway import serve_app

PAGE = DocPage("console.md")


def test_the_command_prints_an_address_that_signs_in(
    app: FastAPI, services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import httpx

    (command,) = PAGE.blocks("sh")
    program, *arguments = command.split()
    assert program == "llmos"
    with serve_app(app, services) as address:
        monkeypatch.setenv("LLMOS_ENDPOINT", address)
        monkeypatch.setenv("LLMOS_API_KEY", services.settings.owner_key_path.read_text().strip())
        assert main(arguments) == 0
        printed = capsys.readouterr()
        assert "role owner, without a password" in printed.err
        with httpx.Client() as browser:
            browser.get(printed.out.strip())
            assert browser.get(f"{address}/console/").status_code == 200
        assert main([*arguments, "--user", "nobody"]) == 2
        assert "There is no user 'nobody'." in capsys.readouterr().err


def test_the_program_declares_a_page() -> None:
    (program,) = PAGE.blocks("python")
    names: dict[str, object] = {}
    exec(compile(program, "docs/console.md", "exec"), names)
    page = names["PAGE"]
    assert isinstance(page, Page)
    assert [(method, path) for method, path, _ in page.handlers] == [("GET", "/{ref}")]


def test_the_policy_is_the_one_that_pages_have() -> None:
    assert f"Content-Security-Policy: {CONTENT_SECURITY_POLICY}\n" in PAGE.text
