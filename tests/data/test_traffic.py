"""Kept traffic: stored responses and the lines of batches, as texts with who they are from."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmos.core.database import Database
from llmos.data.files import Files
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.data.tables import BatchRow
from llmos.data.traffic import KeptTraffic
from support.encryption import open_test_encryption

NOW = datetime(2026, 1, 10, tzinfo=UTC)


@pytest.fixture
def files(database: Database, tmp_path: Path) -> Files:
    return Files(database, tmp_path / "files", open_test_encryption(database, tmp_path))


Keep = Callable[..., None]


@pytest.fixture
def keep(database: Database, files: Files) -> Keep:
    def keep(id: str, *, project: str = "owner", days_ago: int = 1, **body: Any) -> None:
        responses = KeptResponses(database, files.encryption, clock=lambda: NOW - timedelta(days=days_ago))
        items = body.pop("items", [{"type": "message", "role": "user", "content": "Hello"}])
        responses.keep(project, KeptResponse(id=id, body=json.dumps(body), items=json.dumps(items)))

    return keep


@pytest.fixture
def traffic(database: Database, files: Files) -> KeptTraffic:
    return KeptTraffic(database, files, clock=lambda: NOW)


def test_a_response_is_its_conversation_and_its_answer(keep: Keep, traffic: KeptTraffic) -> None:
    keep(
        "resp_1",
        model="dialogue",
        instructions="Be kind.",
        items=[
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Where is Ann?"}]},
            {"type": "function_call", "name": "find", "arguments": '{"who": "Ann"}'},
            {"type": "function_call_output", "call_id": "c", "output": "In Rome"},
        ],
        output=[
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "She is away."}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "In Rome."}]},
            {"type": "function_call", "name": "call", "arguments": "{}"},
        ],
    )
    (call,) = traffic.calls(NOW - timedelta(days=2))
    assert (call.id, call.project, call.model) == ("resp_1", "owner", "dialogue")
    assert call.prompt == [
        ("system", "Be kind."),
        ("user", "Where is Ann?"),
        ("assistant", '{"who": "Ann"}'),
        ("tool", "In Rome"),
    ]
    assert call.answer == [("reasoning", "She is away."), ("text", "In Rome."), ("arguments", "{}")]


@pytest.mark.thorough
def test_only_what_is_asked_for_and_has_not_expired_is_there(
    keep: Keep, database: Database, traffic: KeptTraffic
) -> None:
    keep("resp_old", days_ago=5)
    for i in range(250):
        keep(f"resp_{i:03}", days_ago=1)
    keep("resp_other", project="acme", days_ago=1)
    since = NOW - timedelta(days=2)
    assert traffic.count(since) == 251
    assert [call.id for call in traffic.calls(since)] == [*(f"resp_{i:03}" for i in range(250)), "resp_other"]
    assert [call.id for call in traffic.calls(since, "acme")] == ["resp_other"]
    assert traffic.count(NOW - timedelta(days=90)) == 252
    assert KeptTraffic(database, traffic._files, clock=lambda: NOW + timedelta(days=40)).count(since) == 0


def test_a_line_of_a_batch_is_a_call(database: Database, files: Files, traffic: KeptTraffic) -> None:
    message = {"content": "Paris", "reasoning_content": "Easy.", "tool_calls": [{"function": {"arguments": "{}"}}]}
    asked = [
        {"custom_id": "a", "body": {"model": "dialogue", "messages": [{"role": "user", "content": "Capital?"}]}},
        {"custom_id": "b", "body": {"model": "dialogue", "prompt": "Once", "continuations": ["Twice", [1]]}},
        {"custom_id": "failed", "body": {"model": "dialogue", "prompt": "Thrice"}},
    ]
    answered = [
        {"custom_id": "b", "response": {"status_code": 200, "body": {"choices": [{"text": " upon"}]}}},
        {"custom_id": "a", "response": {"status_code": 200, "body": {"choices": [{"message": message}]}}},
    ]
    paths = [_file(files, lines) for lines in (asked, answered)]
    with database.transaction() as session:
        session.add(
            BatchRow(
                id="batch_1", tenant="acme", endpoint="/v1/completions", input_file_id=paths[0],
                output_file_id=paths[1], status="completed", created_at=NOW, expires_at=NOW, entered={}, num_total=3,
                num_completed=2, num_failed=1, usage={}, problems=[],
            )
        )  # fmt: skip
    since = NOW - timedelta(days=1)
    assert traffic.count(since) == 2
    first, second = traffic.calls(since)
    assert (first.id, first.project, first.prompt) == ("batch_1/a", "acme", [("user", "Capital?")])
    assert first.answer == [("reasoning", "Easy."), ("text", "Paris"), ("arguments", "{}")]
    assert (second.prompt, second.answer) == ([("user", "Once"), ("user", "Twice")], [("text", " upon")])
    assert list(traffic.calls(since, "owner")) == []
    files.path(paths[0]).unlink()
    assert list(traffic.calls(since)) == [], "a file that was deleted"


def _file(files: Files, lines: list[Any]) -> str:
    upload = files.begin()
    upload.write("".join(json.dumps(line) + "\n" for line in lines).encode())
    return files.finish(upload, tenant="acme", purpose="batch", filename="f.jsonl").id
