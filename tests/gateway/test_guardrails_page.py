"""docs/guardrails.md: its commands and its program do what it says."""

import gc
import json
import shlex
import tomllib
from pathlib import Path

import pytest

from llmos.cli import main
from llmos.security.guardrails.policy import open_policy
from llmos.security.guardrails.reference import describe_kinds
from llmos.security.guardrails.screening import Screening
from support.doc_pages import DocPage
from support.http_services import as_json, serving
from support.scripted import KEY

PAGE = DocPage("guardrails.md")


@pytest.mark.thorough
def test_every_command_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path))
    monkeypatch.delenv("LLMOS_ENDPOINT", raising=False)
    monkeypatch.setattr("llmos.cli.control.local_security.route_names", lambda control: ["dialogue"])
    monkeypatch.chdir(tmp_path)
    policy, cases = PAGE.blocks("toml")[0], PAGE.blocks("json")[-1]
    (tmp_path / "support.toml").write_text(policy)
    (tmp_path / "cases.jsonl").write_text(cases)
    commands = [line for block in PAGE.blocks("sh") for line in block.splitlines()]
    assert len(commands) > 5
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "llmos"
        assert main(arguments) == 0, f"{command}: {capsys.readouterr().err}"


@pytest.mark.parametrize("program", PAGE.blocks("python"))
def test_every_program_works(
    served: str, program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", served)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    exec(compile(program, "docs/guardrails.md", "exec"), {})
    assert "found aws access key" in capsys.readouterr().out


def test_the_service_that_screens_is_asked_and_answers_as_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    document = tomllib.loads(PAGE.blocks("toml")[1])
    question, answer = map(json.loads, PAGE.blocks("json")[:2])
    monkeypatch.setenv(document["both"][0]["token_env"], "abc")
    open_policy("outside", 1, document)
    with serving(lambda _: as_json(answer)) as service:
        entry = document["both"][0] | {"url": service.url, "allow_private": True, "action": "mask"}
        channel = Screening([open_policy("outside", 1, {"output": [entry]})]).open_channel()
        (text,) = question["texts"]
        assert channel.push(text) + channel.finish() == "Their plan is called [PROJECT_NAME]."
        assert [body for _, body in service.requests] == [question]
    gc.collect()  # Its connection is closed when the guardrail goes.


def test_the_page_has_every_guardrail_with_its_options_and_actions() -> None:
    table = PAGE.text.partition("| guardrail | finds |")[2].partition("\n\n")[0]
    rows = {
        row[1].strip(" `"): row for row in (line.split("|") for line in table.splitlines() if line.startswith("| `"))
    }
    kinds = {each["guardrail"]: each for each in describe_kinds()}
    assert rows.keys() == kinds.keys()
    for name, kind in kinds.items():
        _, _, finds, sides, actions, _ = rows[name]
        assert sides.strip() == ", ".join(kind["sides"])
        assert actions.strip() == ", ".join(kind["actions"])
        assert all(f"`{option}`" in finds for option in kind["options"]), name
