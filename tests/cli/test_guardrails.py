"""llmos guardrail, on this machine's database."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmos.cli import main
from llmos.core.config import load_settings
from llmos.core.encryption.opening import open_encryption
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.models import open_registry


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
    assert (status, out) == (0, "short@1 screens no calls.\n")
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
        ("a.toml", "both = [{", "isn't a policy in TOML"),
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


def test_kept_calls_are_replayed_with_a_policy_that_is_not_stored(run: Any, home: Path, tmp_path: Path) -> None:
    policy = write(tmp_path / "p.toml", 'input = [{ guardrail = "denied_topics", phrases = ["Zanzibar"] }]')
    assert "No call is kept since then" in run("guardrail", "replay", policy)[1]
    keep(home, "resp_1", "Tell me of Zanzibar")
    keep(home, "resp_2", "Hello")
    status, out, _ = run("guardrail", "replay", policy, "--since", "1h")
    assert (status, "1 more blocked, 0 no longer" in out, "newly blocked: resp_1 of owner" in out) == (0, True, True)
    assert "denied_topics:denied_topic:input: 1" in out
    assert "Zanzibar" not in out
    replayed = json.loads(run("guardrail", "replay", policy, "--json")[1])
    assert (replayed["policy"], replayed["num_calls"], replayed["then"]["blocked_prompts"]) == ("p@0", 2, 1)
    assert json.loads(run("guardrail", "replay", policy, "--since", "2999-01-01", "--json")[1])["num_calls"] == 0
    assert json.loads(run("guardrail", "replay", policy, "--project", "acme", "--json")[1])["num_calls"] == 0
    run("guardrail", "set", "strict", policy)
    assert "strict@1" in run("guardrail", "replay", "strict")[1]


@pytest.mark.parametrize(("since", "why"), [("soon", "isn't a time"), ("7", "isn't a time")])
def test_a_time_that_can_not_be_read_is_refused(run: Any, tmp_path: Path, since: str, why: str) -> None:
    policy = write(tmp_path / "p.toml", 'input = [{ guardrail = "max_length", characters = 9 }]')
    status, _, err = run("guardrail", "replay", policy, "--since", since)
    assert (status, why in err) == (2, True), err


def keep(home: Path, id: str, text: str) -> None:
    settings = load_settings({"LLMOS_HOME": str(home)})
    registry = open_registry(settings)
    items = json.dumps([{"type": "message", "role": "user", "content": text}])
    kept = KeptResponses(registry.database, open_encryption(settings, registry.database))
    kept.keep("owner", KeptResponse(id=id, body='{"model": "dialogue"}', items=items))
    registry.database.close()
