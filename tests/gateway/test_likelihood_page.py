"""docs/likelihood.md: its programs and its command do what it says, with the real model."""

import re
import subprocess
from typing import Any

import pytest

from llmos.engine.messages import MAX_CONTINUATIONS, MAX_TOP
from llmos.engine.rate_request import MAX_CONTINUATION_TOKENS
from llmos.gateway.wires.llmos.likelihood.fields import LikelihoodRequest
from support.doc_pages import DocPage
from support.real_server import KEY, Running

PAGE = DocPage("likelihood.md")


@pytest.fixture
def environment(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", running.url)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)


@pytest.mark.process
@pytest.mark.usefixtures("environment")
def test_the_programs_work_one_after_another(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for number, program in enumerate(PAGE.blocks("python"), 1):
        exec(compile(program, f"docs/likelihood.md, program {number}", "exec"), names)
    names["client"].close()
    names["openai"].close()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == " Paris"
    assert said[-1].startswith("['Hello', ' there'] [None, -")


@pytest.mark.process
@pytest.mark.usefixtures("environment")
def test_the_command_works() -> None:
    (command,) = PAGE.blocks("sh")
    outcome = subprocess.run(["bash", "-ec", command], capture_output=True, text=True, timeout=300)
    assert '"best_index":0' in outcome.stdout, outcome.stderr


def test_every_field_and_limit_is_on_the_page() -> None:
    table = PAGE.text.partition("## The request")[2].partition("\n\n**")[0]
    fields = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if line[:2] == "| ")))
    assert fields == set(LikelihoodRequest.__struct_fields__)
    assert f"at most {MAX_CONTINUATIONS:,}, with {MAX_CONTINUATION_TOKENS:,} tokens together" in table
    assert f"up to {MAX_TOP}" in table
