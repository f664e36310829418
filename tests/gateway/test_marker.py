"""Content is in no log and no metric: a marker in every field of every wire format is found in none of them.

`user` is left out: the log names whose call it was. So are names of models, which are what metrics and logs are about.
"""

import io
import json
import logging
from typing import Any

import httpx
import pytest

from llmos.core.errors import ReplicaFailed
from llmos.engine.messages import Delta, ToolCallDelta
from llmos.gateway.app import create_app
from llmos.gateway.log import Log
from llmos.gateway.services import Services
from support.pipelines import with_parts
from support.scripted import KEY, FakePool

pytestmark = pytest.mark.anyio

MARK = "m4rk3r"
SCHEMA = {"type": "object", "properties": {MARK: {"type": "string", "description": MARK}}}
FUNCTION = {"name": f"call_{MARK}", "description": MARK, "parameters": SCHEMA}
WRONG = FUNCTION | {"parameters": {"type": MARK}}
CALL = {
    "id": f"call_{MARK}",
    "type": "function",
    "function": {"name": FUNCTION["name"], "arguments": f'{{"{MARK}": 1}}'},
}
CHAT: dict[str, Any] = {
    "model": "dialogue",
    "messages": [
        {"role": "system", "content": MARK},
        {"role": "user", "content": [{"type": "text", "text": MARK}]},
        {"role": "assistant", "content": MARK, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": CALL["id"], "content": MARK},
        {"role": "user", "content": MARK, "name": MARK},
    ],
    "tools": [{"type": "function", "function": FUNCTION}],
    "stop": [f"{MARK}!"],
    "metadata": {MARK: MARK},
    "safety_identifier": MARK,
    "prompt_cache_key": MARK,
    "cache_salt": MARK,
    "chat_template_kwargs": {MARK: MARK},
}
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", CHAT),
    ("/v1/chat/completions", CHAT | {"tools": None, "messages": CHAT["messages"][:1] + CHAT["messages"][-1:]}),
    (
        "/v1/chat/completions",
        {
            "model": "dialogue",
            "messages": CHAT["messages"][1:2],
            "response_format": {"type": "json_schema", "json_schema": {"name": MARK, "schema": SCHEMA}},
        },
    ),
    ("/v1/completions", {"model": "dialogue", "prompt": MARK, "stop": MARK, "cache_salt": MARK}),
    (
        "/v1/responses",
        {
            "model": "dialogue",
            "input": MARK,
            "instructions": MARK,
            "tools": [{"type": "function", **FUNCTION}],
            "metadata": {MARK: MARK},
            "safety_identifier": MARK,
        },
    ),
    (
        "/v1/messages",
        {
            "model": "dialogue",
            "max_tokens": 9,
            "system": MARK,
            "messages": [{"role": "user", "content": [{"type": "text", "text": MARK}]}],
            "tools": [{"name": FUNCTION["name"], "description": MARK, "input_schema": SCHEMA}],
            "stop_sequences": [MARK],
        },
    ),
    ("/llmos/v1/generate", {"model": "dialogue", "prompt": MARK, "regex": f"{MARK}+", "stop": [MARK]}),
    ("/llmos/v1/likelihood", {"model": "dialogue", "prompt": MARK, "continuations": [MARK], "score_prompt": True}),
    ("/v1/completions", {"model": "dialogue", "prompt": MARK, "echo": True, "logprobs": 1, "max_tokens": 0}),
    ("/api/chat", {"model": "dialogue", "messages": [{"role": "user", "content": MARK}], "format": SCHEMA}),
    ("/api/generate", {"model": "dialogue", "prompt": MARK, "system": MARK, "options": {"stop": [MARK]}}),
    ("/v2/models/dialogue/generate", {"text_input": MARK, "parameters": {"stop": MARK}}),
    ("/v1/embeddings", {"model": "dialogue", "input": [MARK]}),
    ("/v1/rerank", {"model": "dialogue", "query": MARK, "documents": [MARK]}),
    ("/v1/chat/completions", CHAT | {MARK: MARK}),
    ("/v1/chat/completions", CHAT | {"messages": MARK}),
    (
        "/v1/chat/completions",
        CHAT | {"tools": [{"type": "function", "function": FUNCTION | {"parameters": {"type": MARK}}}]},
    ),
    ("/v1/responses", {"model": "dialogue", "input": [{"type": MARK}], "previous_response_id": MARK}),
    ("/llmos/v1/erasures", {"subject": MARK}),
]


@pytest.mark.parametrize("format", ["text", "json"])
async def test_no_field_of_any_format_reaches_the_log_or_the_metrics(
    services: Services, pool: FakePool, caplog: pytest.LogCaptureFixture, format: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    stream = io.StringIO()
    services = with_parts(services, log=Log(format, stream))
    app = create_app(services)
    statuses = []
    answer = Delta(id="any", text=MARK, reasoning=MARK, num_output_tokens=1)
    call = ToolCallDelta(index=0, id=f"call_{MARK}", name=FUNCTION["name"], arguments=f'{{"{MARK}": ')
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://llmos",
        headers={"authorization": f"Bearer {KEY}"},
    ) as client:
        for path, body in BODIES:
            for stream_too in (False, True):
                pool.scripts.clear()
                pool.enqueue(answer, Delta(id="any", tool_calls=[call], num_output_tokens=2, finish_reason="stop"))
                streamed = {"stream": True} if stream_too else {}
                statuses.append((await client.post(path, json=body | streamed)).status_code)
        for error in (ReplicaFailed("The process died."), ValueError("a bug")):
            pool.scripts.clear()
            pool.enqueue(answer, error)
            statuses.append((await client.post("/v1/chat/completions", json=CHAT)).status_code)
        lines = json.dumps({"custom_id": MARK, "method": "POST", "url": "/v1/chat/completions", "body": CHAT}) + "\n"
        files = {"file": (f"{MARK}.jsonl", lines.encode()), "purpose": (None, "batch")}
        file = (await client.post("/v1/files", files=files)).json()
        batch = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        statuses.append((await client.post("/v1/batches", json=batch | {"metadata": {MARK: MARK}})).status_code)
        statuses.append((await client.post("/v1/chat/completions", content=f'{{"{MARK}'.encode())).status_code)
        metrics = (await client.get("/metrics")).text
    services.log.close()
    assert statuses.count(200) > 16, statuses
    assert statuses.count(400) > 6, statuses
    assert len(stream.getvalue().splitlines()) >= len(statuses)
    assert MARK not in stream.getvalue()
    assert MARK not in metrics
    texts = [logging.Formatter().format(record) for record in caplog.records if record.name.startswith("llmos")]
    assert [text for text in texts if MARK in text] == []
