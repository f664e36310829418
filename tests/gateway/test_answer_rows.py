"""Answers become rows of a dataset: over HTTP, by the command with and without a server, and in Python."""

import json

import httpx
import pytest

from llmos.cli import main
from llmos.client import Client
from llmos.core.errors import BadRequest, PermissionDenied
from llmos.core.schemas.answers import KeptText
from llmos.gateway.answer_rows import messages_of
from llmos.gateway.services import Services
from support.scripted import KEY

TOOL = {"type": "function", "name": "find", "description": "Finds.", "parameters": {"type": "object"}}


@pytest.fixture
def given(served: str, services: Services, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the id of a stored answer of a server that commands and programs ask."""
    monkeypatch.setenv("LLMOS_ENDPOINT", served)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    monkeypatch.setenv("LLMOS_DATABASE_URL", services.settings.database_url)
    monkeypatch.setenv("LLMOS_HOME", str(services.settings.home))
    asked = {"model": "dialogue", "input": "Where is it?", "instructions": "Be brief.", "user": "ann", "tools": [TOOL]}
    reply = httpx.post(f"{served}/v1/responses", json=asked, headers={"authorization": f"Bearer {KEY}"})
    assert reply.status_code == 200, reply.text
    id: str = reply.json()["id"]
    return id


def test_a_row_has_the_whole_conversation_and_where_it_comes_from(given: str, services: Services) -> None:
    with Client() as client:
        made = client.datasets.add_answers("kept", [given], consent="train")
        (row,) = client.datasets.rows("kept")
    assert (made.version, made.kind, made.num_rows, made.source) == ("kept@1", "chat", 1, f"answers:{given}")
    assert row.content["messages"] == [
        {"content": "Be brief.", "role": "system"},
        {"content": "Where is it?", "role": "user"},
        {"content": "Hello", "role": "assistant"},
    ]
    assert row.content["tools"][0]["function"]["name"] == "find"
    assert (row.origin, row.consent) == (given, "train")
    assert row.subject == services.encryption.ring.index("subject", "owner", "ann")


@pytest.mark.parametrize("is_remote", [True, False])
def test_the_command_does_the_same_with_a_server_and_without(
    is_remote: bool, given: str, services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if is_remote:
        monkeypatch.setattr("llmos.cli.control.opening.is_remote", lambda settings: True)
    else:
        monkeypatch.delenv("LLMOS_API_KEY")
        services.answer_sink.flush()
    assert main(["dataset", "add-answers", "kept", given, "--json"]) == 0, capsys.readouterr().err
    made = json.loads(capsys.readouterr().out)
    assert (made["version"], made["num_rows"], made["report"]) == ("kept@1", 1, {"appended": 1})
    assert main(["dataset", "add-answers", "kept", given]) != 0
    assert "has these rows already" in capsys.readouterr().err


def test_thoughts_calls_and_results_keep_their_places() -> None:
    say = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "In Paris."}]}
    items = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Where?"}]},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Look."}]},
        {"type": "function_call", "call_id": "1", "name": "find", "arguments": ""},
        {"type": "function_call_output", "call_id": "1", "output": "Paris"},
    ]
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    assert messages_of("a", KeptText(input=items, output=[say])) == [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "", "reasoning_content": "Look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "Paris"},
        {"role": "assistant", "content": "In Paris."},
    ]
    with pytest.raises(BadRequest, match="type compaction"):
        messages_of("a", KeptText(input=[{"type": "compaction"}], output=[]))


def test_what_has_no_text_or_may_not_be_read_is_refused(given: str, served: str) -> None:
    with Client() as client:
        unkept = client.models.get("dialogue").chat([{"role": "user", "content": "Hi"}]).id
        with pytest.raises(BadRequest, match=f"The text of the answer {unkept} isn't stored"):
            client.datasets.add_answers("kept", [given, unkept])
        assert client.datasets.list() == []
        viewer = client.keys.create(name="viewer", role="viewer").key
    with Client(api_key=viewer) as client, pytest.raises(PermissionDenied):
        client.datasets.add_answers("kept", [given])
