"""The receipt of every answer, on every wire format: found, genuine, and with hashes that the caller can compute."""

import asyncio
import hashlib
import json
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
import rfc8785
from fastapi import FastAPI

from llmos.engine.messages import Delta, ToolCallDelta
from llmos.gateway.calls import answer_sink
from llmos.gateway.jobs.batch_runner import BatchRunner
from llmos.gateway.services import Services
from llmos.security.receipts.verification import verify_receipt
from support.looking import pause
from support.scripted import Connection, FakePool, FakeVersion

pytestmark = [pytest.mark.anyio, pytest.mark.shared_gateway]

HEADER = "x-llmos-receipt"
CHAT: dict[str, Any] = {"model": "dialogue", "messages": [{"role": "user", "content": "Grüß Gott"}]}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}

# The text of an answer in each format, whole and streamed.
Read = Callable[[Any], str]
FORMATS: Mapping[str, tuple[str, dict[str, Any], Read]] = {
    "chat": ("/v1/chat/completions", CHAT, lambda body: body["choices"][0]["message"]["content"]),
    "completions": ("/v1/completions", {"model": "dialogue", "prompt": "Hi"}, lambda body: body["choices"][0]["text"]),
    "responses": (
        "/v1/responses", {"model": "dialogue", "input": "Hi"}, lambda body: body["output"][0]["content"][0]["text"],
    ),
    "anthropic": ("/v1/messages", {**CHAT, "max_tokens": 9}, lambda body: body["content"][0]["text"]),
    "llmos": ("/llmos/v1/generate", {"model": "dialogue", "prompt": "Hi"}, lambda body: body["text"]),
    "ollama chat": ("/api/chat", {**CHAT, "stream": False}, lambda body: body["message"]["content"]),
    "ollama": ("/api/generate", {"model": "dialogue", "prompt": "Hi", "stream": False}, lambda body: body["response"]),
    "open inference": (
        "/v2/models/dialogue/generate", {"text_input": "Hi"}, lambda body: body["text_output"],
    ),
    "tensors": (
        "/v2/models/dialogue/infer",
        {"inputs": [{"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["Hi"]}]},
        lambda body: next(each for each in body["outputs"] if each["name"] == "text_output")["data"][0],
    ),
}  # fmt: skip

STREAMS = {
    "chat": ("/v1/chat/completions", CHAT | {"stream": True}),
    "completions": ("/v1/completions", {"model": "dialogue", "prompt": "Hi", "stream": True}),
    "responses": ("/v1/responses", {"model": "dialogue", "input": "Hi", "stream": True}),
    "anthropic": ("/v1/messages", CHAT | {"max_tokens": 9, "stream": True}),
    "llmos": ("/llmos/v1/generate", {"model": "dialogue", "prompt": "Hi", "stream": True}),
    "ollama chat": ("/api/chat", CHAT),
    "ollama": ("/api/generate", {"model": "dialogue", "prompt": "Hi"}),
    "open inference": ("/v2/models/dialogue/generate_stream", {"text_input": "Hi"}),
}


def sha256(value: Any) -> str:
    """As docs/receipts.md says."""
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()


async def receipt_of(http: httpx.AsyncClient, reply: httpx.Response, services: Services) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    found = await http.get(reply.headers[HEADER])
    assert found.status_code == 200, found.text
    receipt: dict[str, Any] = found.json()
    assert verify_receipt(receipt, [services.signing_key.public]).raw == receipt
    assert receipt["request_id"] == reply.headers["x-request-id"]
    return receipt


async def test_a_receipt_says_what_was_asked_of_what(http: httpx.AsyncClient, services: Services) -> None:
    services.guardrails.set("safe", {"both": [{"guardrail": "secrets"}]})
    services.guardrails.apply("safe", "installation")
    body = {**CHAT, "temperature": 0.5, "seed": 7, "max_tokens": 20}
    reply = await http.post("/v1/chat/completions", json=body)
    receipt = await receipt_of(http, reply, services)
    assert reply.headers[HEADER] == f"/llmos/v1/answers/{reply.json()['id']}/receipt"
    assert (receipt["id"], receipt["project"], receipt["key_id"]) == (reply.json()["id"], "owner", "owner")
    assert (receipt["operation"], receipt["outcome"], receipt["error"]) == ("generate", "answered", None)
    assert (receipt["model"], receipt["route"], receipt["version"]) == ("dialogue", "dialogue", "smollm2@1")
    assert (receipt["digest"], receipt["runner"]) == (FakeVersion().digest, "native")
    assert receipt["quantization"] == FakeVersion().quantization
    assert receipt["usage"] == {"prompt_tokens": 5, "cached_tokens": 0, "completion_tokens": 3}
    settings = receipt["sampling"]
    assert (settings["temperature"], settings["seed"], settings["max_tokens"], settings["n"]) == (0.5, 7, 20, 1)
    (policy,) = receipt["guardrails"]["policies"]
    assert (policy["name"], policy["version"], receipt["guardrails"]["findings"]) == ("safe", 1, [])
    assert receipt["output"]["finish_reasons"] == ["stop"]
    assert "Grüß" not in json.dumps(receipt, ensure_ascii=False)
    by_request = await http.get(f"/llmos/v1/answers/{reply.headers['x-request-id']}/receipt")
    assert by_request.json() == receipt


@pytest.mark.parametrize("name", FORMATS)
async def test_its_hashes_are_those_of_what_was_sent_and_received(
    http: httpx.AsyncClient, services: Services, name: str
) -> None:
    path, body, read = FORMATS[name]
    reply = await http.post(path, json=body)
    receipt = await receipt_of(http, reply, services)
    assert receipt["input"] == {"of": "json", "sha256": sha256(body)}
    assert read(reply.json()) == "Hello"
    assert receipt["output"]["sha256"] == sha256([{"text": "Hello"}])


@pytest.mark.parametrize("name", STREAMS)
async def test_a_streamed_answer_has_the_same_receipt(http: httpx.AsyncClient, services: Services, name: str) -> None:
    path, body = STREAMS[name]
    reply = await http.post(path, json=body)
    receipt = await receipt_of(http, reply, services)
    assert receipt["input"]["sha256"] == sha256(body)
    assert receipt["output"] == {"of": "choices", "sha256": sha256([{"text": "Hello"}]), "finish_reasons": ["stop"]}


async def test_every_choice_counts(http: httpx.AsyncClient, services: Services, pool: FakePool) -> None:
    pool.enqueue(
        Delta(id="x", index=1, text="B", num_output_tokens=1),
        Delta(id="x", index=0, text="A", reasoning="Hm", num_output_tokens=1),
        Delta(id="x", index=1, finish_reason="length", num_output_tokens=2),
        Delta(id="x", index=0, finish_reason="stop", num_output_tokens=2),
    )
    receipt = await receipt_of(http, await http.post("/v1/chat/completions", json={**CHAT, "n": 2}), services)
    assert receipt["output"]["sha256"] == sha256([{"text": "A", "reasoning": "Hm"}, {"text": "B"}])
    assert receipt["output"]["finish_reasons"] == ["stop", "length"]
    assert receipt["sampling"]["n"] == 2


async def test_tool_calls_are_part_of_the_output(http: httpx.AsyncClient, services: Services, pool: FakePool) -> None:
    pool.enqueue(
        Delta(id="x", tool_calls=[ToolCallDelta(0, id="call_1", name="look_up", arguments='{"city": ')]),
        Delta(id="x", tool_calls=[ToolCallDelta(0, arguments='"Köln"}')], finish_reason="tool_calls"),
    )
    reply = await http.post("/v1/chat/completions", json={**CHAT, "tools": [TOOL]})
    receipt = await receipt_of(http, reply, services)
    calls = reply.json()["choices"][0]["message"]["tool_calls"]
    got = [{"name": each["function"]["name"], "arguments": json.loads(each["function"]["arguments"])} for each in calls]
    assert receipt["output"]["sha256"] == sha256([{"text": "", "tool_calls": got}])


async def test_vectors_and_scores_have_receipts(http: httpx.AsyncClient, services: Services) -> None:
    body = {"model": "minilm", "input": ["A river.", "A tax."]}
    reply = await http.post("/v1/embeddings", json=body)
    receipt = await receipt_of(http, reply, services)
    numbers = [number for each in reply.json()["data"] for number in each["embedding"]]
    packed = struct.pack(f"<{len(numbers)}f", *numbers)
    assert receipt["output"] == {"of": "vectors", "sha256": hashlib.sha256(packed).hexdigest()}
    assert (receipt["operation"], receipt["sampling"], receipt["input"]["sha256"]) == ("embed", None, sha256(body))
    assert HEADER in (await http.post("/api/embed", json=body)).headers
    assert HEADER in (await http.post("/api/embeddings", json={"model": "minilm", "prompt": "A river."})).headers
    reply = await http.post("/v1/score", json={"model": "minilm", "text_1": "A river.", "text_2": ["One.", "Two."]})
    scores = [each["score"] for each in reply.json()["data"]]
    assert (await receipt_of(http, reply, services))["output"] == {"of": "scores", "sha256": sha256(scores)}
    reply = await http.post("/v1/rerank", json={"model": "minilm", "query": "A river.", "documents": ["One.", "Two."]})
    scores = [each["relevance_score"] for each in sorted(reply.json()["results"], key=lambda each: each["index"])]
    assert (await receipt_of(http, reply, services))["output"]["sha256"] == sha256(scores)


async def test_a_blocked_prompt_and_a_blocked_answer_have_receipts(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    deny = {"guardrail": "denied_topics", "phrases": ["Zanzibar"], "topic": "zanzibar"}
    services.guardrails.set("safe", {"both": [deny]})
    services.guardrails.apply("safe", "installation")
    pool.enqueue("It is ", "Zanzibar", " again")
    receipt = await receipt_of(http, await http.post("/v1/chat/completions", json=CHAT), services)
    assert receipt["output"]["finish_reasons"] == ["content_filter"]
    assert receipt["output"]["sha256"] == sha256([{"text": "It is "}])
    (found,) = receipt["guardrails"]["findings"]
    assert (found["guardrail"], found["side"], found["verdict"]) == ("denied_topics", "output", "block")
    body = {**CHAT, "messages": [{"role": "user", "content": "Zanzibar?"}]}
    refused = await http.post("/v1/chat/completions", json=body)
    assert refused.status_code == 400
    receipt = (await http.get(f"/llmos/v1/answers/{refused.headers['x-request-id']}/receipt")).json()
    assert (receipt["outcome"], receipt["error"], receipt["version"]) == ("refused", "content_filter", None)
    assert (receipt["input"]["sha256"], receipt["output"]["sha256"]) == (sha256(body), None)


async def test_whoever_hangs_up_has_a_receipt_of_what_was_sent(
    app: FastAPI, http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    pool.enqueue("Hel", asyncio.Event())  # ... and never anything more
    caller = Connection(app, "/v1/chat/completions", {**CHAT, "stream": True})
    call = caller.start()
    await caller.first_chunk()
    caller.hang_up()
    await call
    headers = dict(caller.sent[0]["headers"])
    receipt = (await http.get(headers[HEADER.encode()].decode())).json()
    assert (receipt["outcome"], receipt["output"]["finish_reasons"]) == ("cancelled", [None])
    assert receipt["output"]["sha256"] == sha256([{"text": "Hel"}])


async def test_a_line_of_a_batch_has_a_receipt(app: FastAPI, http: httpx.AsyncClient, services: Services) -> None:
    line = {"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
    upload = {"file": ("in.jsonl", json.dumps(line).encode())}
    file = (await http.post("/v1/files", data={"purpose": "batch"}, files=upload)).json()
    created = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = (await http.post("/v1/batches", json=created)).json()
    runner = BatchRunner(
        app, services.data.batches, services.data.files, services.admission, services.keys, services.users
    )
    running = asyncio.create_task(runner.run())
    while (done := (await http.get(f"/v1/batches/{batch['id']}")).json())["status"] not in ("completed", "failed"):
        await pause()
    running.cancel()
    await asyncio.wait([running])
    answered = json.loads((await http.get(f"/v1/files/{done['output_file_id']}/content")).text)["response"]
    for id in (answered["body"]["id"], answered["request_id"]):
        receipt = (await http.get(f"/llmos/v1/answers/{id}/receipt")).json()
        assert (receipt["id"], receipt["input"]["sha256"]) == (answered["body"]["id"], sha256(CHAT))


async def test_a_project_sees_its_own_receipts_only(http: httpx.AsyncClient, services: Services) -> None:
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    key = (await http.post("/llmos/v1/keys", json={"project": "acme", "role": "developer"})).json()
    acme = {"authorization": f"Bearer {key['key']}"}
    own = await http.post("/v1/chat/completions", json=CHAT, headers=acme)
    others = await http.post("/v1/chat/completions", json=CHAT)
    receipt = (await http.get(own.headers[HEADER], headers=acme)).json()
    assert (receipt["project"], receipt["key_id"]) == ("acme", key["id"])
    assert (await http.get(own.headers[HEADER])).json() == receipt  # The owner oversees all.
    for id in (others.json()["id"], others.headers["x-request-id"], "answer-unknown"):
        refused = await http.get(f"/llmos/v1/answers/{id}/receipt", headers=acme)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")


async def test_what_is_no_answer_has_no_receipt(http: httpx.AsyncClient) -> None:
    counted = await http.post("/v1/messages/count_tokens", json=CHAT)
    wrong = await http.post("/v1/chat/completions", json={**CHAT, "model": "unknown"})
    for reply in (counted, wrong):
        assert HEADER not in reply.headers
        path = f"/llmos/v1/answers/{reply.headers['x-request-id']}/receipt"
        assert (await http.get(path)).status_code == 404


async def test_a_large_seed_is_a_text_and_the_receipt_can_be_made(http: httpx.AsyncClient, services: Services) -> None:
    reply = await http.post("/v1/chat/completions", json={**CHAT, "seed": 2**63 - 1})
    receipt = await receipt_of(http, reply, services)
    assert (receipt["sampling"]["seed"], receipt["input"]["of"]) == (str(2**63 - 1), "bytes")
    assert receipt["input"]["sha256"] == hashlib.sha256(reply.request.content).hexdigest()


@pytest.mark.own_gateway
async def test_a_receipt_waits_for_the_entry_that_it_speaks_of(
    app: FastAPI, services: Services, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is killed in between would leave a receipt of what no entry counts."""
    monkeypatch.setattr(answer_sink, "CHARGE_SECONDS", 0.0)
    turn, may_go = services.billing.ledger.turn, threading.Event()
    monkeypatch.setattr(services.billing.ledger, "turn", lambda: may_go.wait() and turn())
    pool.enqueue("One ", "two ", pool.never)
    connection = Connection(app, "/v1/chat/completions", CHAT | {"stream": True})
    running = connection.start()
    while "two" not in connection.text:
        await pause()
    connection.hang_up()  # One who hangs up waits for no entry.
    await asyncio.wait([running])
    await asyncio.to_thread(services.answer_sink.flush)
    (waiting,) = services.answer_sink._waiting
    assert services.receipts.of_answers([waiting.record.id]) == {}
    may_go.set()
    while services.answer_sink._waiting or not services.receipts.of_answers([waiting.record.id]):
        await asyncio.to_thread(services.answer_sink.flush)
    assert len(services.billing.ledger.entries(waiting.record.id)) == 1
