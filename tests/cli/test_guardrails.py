"""llmos guardrail, on this machine's database."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmos.cli import main


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        return status, *capsys.readouterr()

    return run


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_policy_its_versions_and_its_end(run: Any, tmp_path: Path) -> None:
    first = write(tmp_path / "a.toml", 'both = [{ guardrail = "max_length", characters = 9 }]')
    second = write(tmp_path / "b.json", '{"input": [{"guardrail": "max_length", "characters": 7, "action": "flag"}]}')
    status, out, err = run("guardrail", "set", "short", first)
    assert (status, out) == (0, "short@1 screens nothing yet.\n")
    assert "llmos guardrail apply short" in err
    assert run("guardrail", "set", "short", first)[1].startswith("short@1 ")
    assert run("guardrail", "apply", "short", "--everywhere")[1] == "short@1 screens every call.\n"
    assert run("guardrail", "set", "short", second)[1] == "short@2 screens every call.\n"
    assert [each["version"] for each in json.loads(run("guardrail", "history", "short", "--json")[1])] == [1, 2]
    assert "characters = 9" in run("guardrail", "show", "short", "--version", "1")[1]
    status, _, err = run("guardrail", "remove", "short")
    assert (status, "applies to installation" in err) == (2, True)
    assert run("guardrail", "unapply", "short", "--everywhere")[0] == 0
    assert run("guardrail", "remove", "short")[0] == 0
    assert run("guardrail", "show", "short")[0] == 2


def test_cases_have_verdicts_and_the_status_says_if_one_is_wrong(run: Any, tmp_path: Path) -> None:
    policy = write(tmp_path / "p.toml", 'input = [{ guardrail = "max_length", characters = 9 }]')
    lines = [{"text": "short", "expect": "allow"}, {"text": "much too long", "expect": "block"}]
    cases = write(tmp_path / "cases.jsonl", "\n".join(map(json.dumps, lines)))
    assert run("guardrail", "test", policy, cases)[0] == 0
    wrong = write(tmp_path / "wrong.jsonl", json.dumps({"text": "much too long", "expect": "allow"}))
    status, out, err = run("guardrail", "test", policy, wrong, "--json")
    assert (status, json.loads(out)[0]["verdict"], "1 of 1 cases" in err) == (1, "block", True)
    text = write(tmp_path / "text.txt", "anything at all")
    assert json.loads(run("guardrail", "test", policy, text, "--json", "--side", "output")[1])[0]["verdict"] == "allow"


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.toml", "both = [{", "no policy in TOML"),
        ("a.json", "[]", "must be an object"),
        ("a.json", "{}", "has no guardrail"),
        ("a.json", '{"inputs": []}', "Did you mean input"),
        ("a.json", '{"input": [{"guardrail": "max_lenght"}]}', "Did you mean max_length"),
        ("a.json", '{"input": [{"guardrail": "max_length"}]}', "characters"),
        ("a.json", '{"input": [{"guardrail": "max_length", "chars": 9}]}', "Did you mean characters"),
        ("a.json", '{"input": [{"guardrail": "max_length", "characters": 9, "action": "mask"}]}', "takes block, flag"),
        ("a.json", '{"input": [{"guardrail": "max_length", "characters": 9, "budget_ms": 0}]}', "above 0"),
        ("a.json", '{"input": [{"guardrail": "json_schema", "schema": {}}]}', "screens the output alone"),
    ],
)
def test_a_wrong_policy_is_refused_with_what_is_wrong(
    run: Any, tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    status, _, err = run("guardrail", "set", "p", write(tmp_path / name, text))
    assert (status, complaint in err) == (2, True), err


def test_a_policy_applies_to_what_there_is(run: Any, tmp_path: Path) -> None:
    run("guardrail", "set", "p", write(tmp_path / "a.toml", 'both = [{ guardrail = "max_length", characters = 9 }]'))
    for place in (["--route", "nothing"], ["--project", "nothing"], [], ["--everywhere", "--project", "owner"]):
        assert run("guardrail", "apply", "p", *place)[0] == 2
    assert run("guardrail", "apply", "p", "--project", "owner")[1] == "p@1 screens project owner.\n"


def test_applying_a_policy_to_a_route_says_which_names_pass_it_by(run: Any, tmp_path: Path) -> None:
    run("guardrail", "set", "p", write(tmp_path / "a.toml", 'both = [{ guardrail = "max_length", characters = 9 }]'))
    run("provider", "add", "far", "--base-url", "http://127.0.0.1:9/v1", "--no-key")
    run("route", "set", "dialogue", "remote:far/big")
    assert "ask for remote:far/big by that name aren't" in run("guardrail", "apply", "p", "--route", "dialogue")[2]
    assert run("guardrail", "apply", "p", "--everywhere")[2] == ""
    assert run("guardrail", "apply", "p", "--route", "dialogue")[2] == ""
