"""docs/exporters.md: its commands and its program do what it says."""

import json
import shlex
from pathlib import Path

import pytest

from llmos.billing.entries import MEASURES
from llmos.billing.exporters import batches
from llmos.cli import main
from llmos.core.posting import TIMEOUT_SECONDS
from llmos.gateway.services import Services
from support.doc_pages import DocPage
from support.metering import metering
from support.scripted import KEY

PAGE = DocPage("exporters.md")


@pytest.fixture
def asked(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands and programs ask the server."""
    monkeypatch.setenv("LLMOS_ENDPOINT", served)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    monkeypatch.setattr("llmos.cli.control.opening.is_remote", lambda settings: True)


def test_the_commands_and_the_program_work(
    asked: None, services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METER_KEY", "om-secret-key")
    for command in PAGE.blocks("sh")[0].splitlines():
        assert main(shlex.split(command)[1:]) == 0, f"{command}: {capsys.readouterr().err}"
    printed = capsys.readouterr()
    assert "om-secret" not in printed.out + printed.err
    assert services.billing.exporters.list() == []
    (program,) = PAGE.blocks("python")
    exec(compile(program, "docs/exporters.md", "exec"), {})
    assert capsys.readouterr().out == "0\n"
    assert services.billing.exporters.list() == []


def test_the_page_says_what_is_sent() -> None:
    (event,) = (json.loads(block) for block in PAGE.blocks("json"))
    numbers = {name for name in MEASURES if name != "replica_micros"}
    assert event["data"].keys() >= numbers
    assert {name for name in numbers if f"`llmos_{name}`" not in PAGE.text} == set()
    assert f"up to {batches.MAX_LINES} at once" in PAGE.text
    assert f"{batches.MAX_REFUSED:,} refused" in PAGE.text
    assert f"within {TIMEOUT_SECONDS:g} seconds" in PAGE.text


def test_a_test_says_what_the_service_answered(asked: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, empty = tmp_path / "key", tmp_path / "empty"
    key.write_text("lago-secret\n")
    empty.write_text("\n")
    add = ["exporter", "add", "lago", "--kind", "lago"]
    with metering("lago") as service:
        assert main([*add, "--url", service.url, "--allow-private", "--key-file", str(key)]) == 0
        assert main(["exporter", "test", "lago"]) == 0
        assert "status 200" in capsys.readouterr().out
        assert service.headers[-1]["authorization"] == "Bearer lago-secret"
        service.fault = lambda number: 401
        assert main(["exporter", "test", "lago"]) == 1
        assert "status 401" in capsys.readouterr().err
    assert main([*add, "--url", "https://lago.example", "--key-file", str(empty)]) == 2
    assert "has no key" in capsys.readouterr().err
