"""docs/receipts.md: its programs and commands do what it says."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from llmos.cli import main
from llmos.core.schemas.receipts import ReceiptDescription
from llmos.gateway.services import Services
from support.doc_pages import DocPage
from support.scripted import KEY

PAGE = DocPage("receipts.md")


def test_the_programs_work_one_after_another(
    served: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", served)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    names: dict[str, Any] = {}
    for program in PAGE.blocks("python"):
        exec(compile(program, "docs/receipts.md", "exec"), names)
    names["server"].close()
    assert capsys.readouterr().out.startswith("smollm2@1 sha256:")


def test_every_command_works(
    served: str, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", served)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    monkeypatch.setattr("llmos.cli.control.opening.is_remote", lambda settings: True)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(PAGE.blocks("python")[0], "docs/receipts.md", "exec"), names)
    names["server"].close()
    reply = names["reply"]
    id, body = reply.json()["id"], reply.request.content
    (tmp_path / "request.json").write_bytes(body)
    commands = PAGE.blocks("sh")[0].splitlines()
    assert len(commands) == 5
    for command in commands:
        capsys.readouterr()
        line, _, output = command.partition(" > ")
        program, *arguments = shlex.split(line.replace("ANSWER_ID", id))
        assert program == "llmos"
        assert main(arguments) == 0, f"{command}: {capsys.readouterr().err}"
        if output:
            (tmp_path / output).write_text(capsys.readouterr().out)
    assert "Verified" in capsys.readouterr().out
    (tmp_path / "request.json").write_bytes(body.replace(b"Hello", b"Hallo"))
    assert main(["receipt", "verify", "receipt.json", "--key", "server.pem", "--request", "request.json"]) == 2
    assert "of another request" in capsys.readouterr().err
    changed = (tmp_path / "receipt.json").read_text().replace("answered", "refused")
    (tmp_path / "receipt.json").write_text(changed)
    assert main(["receipt", "verify", "receipt.json", "--key", "server.pem"]) == 2
    assert "not what was signed" in capsys.readouterr().err


def test_the_page_has_every_field() -> None:
    table = PAGE.text.partition("| field | |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) >= set(ReceiptDescription.__struct_fields__)
