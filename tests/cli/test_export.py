"""llmos export --as triton: a repository for a name that callers ask for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


@pytest.fixture
def route(cli: Cli) -> str:
    assert cli("provider", "add", "far", "--base-url", "http://127.0.0.1:9/v1", "--no-key").status == 0
    assert cli("route", "set", "gpt-3", "remote:far/big").status == 0
    return "gpt-3"


def test_a_route_is_exported(cli: Cli, route: str, tmp_path: Path) -> None:
    outcome = cli(
        "export",
        route,
        str(tmp_path / "models"),
        "--as",
        "triton",
        "--key-file",
        "/run/key",
        "--endpoint",
        "http://llmos:8000",
    )
    assert outcome.status == 0, outcome.err
    assert "with the key in /run/key" in outcome.out
    config = (tmp_path / "models" / "gpt-3" / "config.pbtxt").read_text()
    assert 'string_value: "http://llmos:8000"' in config
    assert 'string_value: "/run/key"' in config
    shown = cli("export", route, str(tmp_path / "more"), "--as", "triton", "--name", "other", "--json")
    exported = json.loads(shown.out)
    assert exported["path"] == str(tmp_path / "more")
    assert exported["size_bytes"] > 10_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody", "--as", "triton"), "nobody"),
        (("gpt-3", "--as", "onnx"), "--as takes archive or triton"),
        (("gpt-3", "--name", "x"), "--name is for --as triton"),
        (("gpt-3", "--as", "triton", "--endpoint", "llmos"), "isn't the URL of an LLMOS server"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    cli: Cli, route: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = cli("export", *arguments)
    assert outcome.status == 2
    assert said in outcome.err
    assert not (tmp_path / "triton-models").exists()
