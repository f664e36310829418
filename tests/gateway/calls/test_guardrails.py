"""Guardrails in the pipeline: every wire format, complete and streamed, embeddings, batches, tool calls, shadows."""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.deployments.routing.route import RouteSettings, Shadow
from llmos.engine.messages import Delta, ToolCallDelta
from llmos.gateway.jobs.batch_runner import BatchRunner
from llmos.gateway.services import Services
from support.http_services import Answer, as_json, serving
from support.looking import pause
from support.scripted import FakePool, FakeVersion

pytestmark = pytest.mark.anyio

SECRET = "Zanzibar protocol"
DENY = {"guardrail": "denied_topics", "phrases": [SECRET], "topic": "zanzibar"}
PIECES = ["It is the ", "Zan", "zibar  ", "proto", "col, which", " says more"]

FORMATS: dict[str, tuple[str, dict[str, Any], str]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "{}"}]}, "content_filter"),
    "completions": ("/v1/completions", {"prompt": "{}"}, "content_filter"),
    "responses": ("/v1/responses", {"input": "{}"}, "incomplete"),
    "anthropic": ("/v1/messages", {"messages": [{"role": "user", "content": "{}"}], "max_tokens": 50}, "refusal"),
    "llmos": ("/llmos/v1/generate", {"prompt": "{}"}, "content_filter"),
    "ollama chat": ("/api/chat", {"messages": [{"role": "user", "content": "{}"}]}, "content_filter"),
    "ollama": ("/api/generate", {"prompt": "{}"}, "content_filter"),
    "open inference": ("/v2/models/dialogue/generate", {"text_input": "{}"}, "content_filter"),
}
"""Path, body with {} for the prompt, and what the format calls an answer that was cut."""


def apply(services: Services, **document: Any) -> None:
    services.guardrails.set("strict", document)
    services.guardrails.apply("strict", "route", "dialogue")


def body(format: str, prompt: str, *, stream: bool = False) -> tuple[str, dict[str, Any]]:
    path, fields, _ = FORMATS[format]
    filled = json.loads(json.dumps(fields).replace("{}", prompt))
    if format == "open inference":
        return (path + "_stream" * stream), filled
    return path, filled | {"model": "dialogue", "stream": stream}


def chat(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"model": "dialogue", "messages": [{"role": "user", "content": prompt}], **fields}


def prompts(pool: FakePool) -> str:
    return repr([(each.messages, each.user_text, each.text) for each in pool.requests])


@pytest.mark.parametrize("format", FORMATS)
async def test_a_denied_prompt_reaches_no_model_in_any_format(
    http: httpx.AsyncClient, services: Services, pool: FakePool, format: str
) -> None:
    apply(services, input=[DENY])
    for stream in (False, True):
        path, fields = body(format, f"Tell me of the {SECRET.upper()}!", stream=stream)
        reply = await http.post(path, json=fields)
        assert reply.status_code == 400, reply.text
        assert "guardrail denied_topics of the policy strict" in reply.text
        assert SECRET.casefold() not in reply.text.casefold()
    assert pool.requests == []


@pytest.mark.combinations
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("format", FORMATS)
async def test_an_answer_ends_before_a_denied_text_in_every_format(
    http: httpx.AsyncClient, services: Services, pool: FakePool, format: str, stream: bool
) -> None:
    apply(services, output=[DENY])
    pool.enqueue(*PIECES)
    path, fields = body(format, "What is it?", stream=stream)
    reply = await http.post(path, json=fields)
    assert reply.status_code == 200, reply.text
    assert "It is the " in reply.text
    for piece in ("Zan", "zibar", "proto", "col, which", "more"):
        assert piece not in reply.text
    assert FORMATS[format][2] in reply.text
    assert pool.closed_early, "the model goes on"


async def test_tokens_that_were_computed_are_counted_though_they_are_withheld(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    apply(services, output=[DENY])
    pool.enqueue(*PIECES)
    reply = await http.post("/v1/chat/completions", json=chat("What is it?"))
    assert reply.json()["usage"]["completion_tokens"] == 5
    metrics = services.metrics.render().decode()
    assert 'llmos_generation_tokens_total{model_name="smollm2@1"} 5.0' in metrics
    found = 'guardrail="denied_topics",policy="strict",rule="zanzibar",side="output",verdict="block"'
    assert f"llmos_guardrail_findings_total{{{found}}} 1.0" in metrics


async def test_other_choices_go_on_when_one_is_cut(http: httpx.AsyncClient, services: Services, pool: FakePool) -> None:
    apply(services, output=[DENY])
    pool.enqueue(
        Delta(id="x", index=0, text=SECRET + " ", num_output_tokens=2),
        Delta(id="x", index=1, text="Fine", num_output_tokens=1),
        Delta(id="x", index=0, text="more", num_output_tokens=3),
        Delta(id="x", index=1, text=" day", finish_reason="stop", num_output_tokens=2),
    )
    choices = (await http.post("/v1/chat/completions", json=chat("Hi", n=2))).json()["choices"]
    assert [(each["message"]["content"], each["finish_reason"]) for each in choices] == [
        ("", "content_filter"),
        ("Fine day", "stop"),
    ]


async def test_reasoning_and_the_arguments_of_calls_are_screened(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    apply(services, output=[{"guardrail": "pii"}])
    pool.enqueue(
        Delta(id="x", reasoning="Her mail is ann@exam", num_output_tokens=1),
        Delta(id="x", reasoning="ple.com", num_output_tokens=2),
        Delta(id="x", text="I call ann@example", num_output_tokens=3),
        Delta(id="x", tool_calls=[ToolCallDelta(0, "call_1", "send", "")], num_output_tokens=4),
        Delta(id="x", tool_calls=[ToolCallDelta(0, arguments='{"to": "ann@exa')], num_output_tokens=5),
        Delta(id="x", tool_calls=[ToolCallDelta(0, arguments='mple.com", "card": 41111')], num_output_tokens=6),
        Delta(id="x", tool_calls=[ToolCallDelta(0, arguments="11111111111}")], num_output_tokens=7),
        Delta(id="x", finish_reason="tool_calls", num_output_tokens=8),
    )
    tool = {"type": "function", "function": {"name": "send", "parameters": {"type": "object"}}}
    reply = await http.post("/v1/chat/completions", json=chat("Hi", tools=[tool]))
    message = reply.json()["choices"][0]["message"]
    assert message["reasoning_content"] == "Her mail is [EMAIL]"
    assert message["content"] == "I call ann@example"
    arguments = json.loads(message["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"to": "[EMAIL]", "card": "[PAYMENT_CARD]"}


@pytest.mark.parametrize("stream", [False, True])
async def test_placeholders_hide_data_from_the_model_and_are_put_back(
    http: httpx.AsyncClient, services: Services, pool: FakePool, stream: bool
) -> None:
    apply(services, input=[{"guardrail": "pii", "action": "placeholder"}])
    pool.enqueue("Dear ", "[EMA", "IL_", "2]", " and [", "EMAIL_1", "], not [EMAIL_9] or [x")
    prompt = "Write to ann@example.com and bob@example.com, then ann@example.com; not [EMAIL_7]"
    reply = await http.post("/v1/chat/completions", json=chat(prompt, stream=stream))
    content = "Write to [EMAIL_1] and [EMAIL_2], then [EMAIL_1]; not [EMAIL_7]"
    assert pool.requests[0].messages == [{"role": "user", "content": content}]
    pieces = re.findall(r'"content": ?"([^"]*)"', reply.text)
    assert "".join(pieces) == "Dear bob@example.com and ann@example.com, not [EMAIL_9] or [x"


async def test_every_text_of_a_prompt_is_screened(http: httpx.AsyncClient, services: Services, pool: FakePool) -> None:
    apply(services, input=[{"guardrail": "pii", "action": "mask"}])
    mail = "ann@example.com"
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"to": "ann\\u0040example.com"}'}}
    tool = {
        "type": "function",
        "function": {
            "name": "f",
            "description": f"Asks {mail}",
            "parameters": {"type": "object", "properties": {"to": {"type": "string", "enum": [mail]}}},
        },
    }
    messages = [
        {"role": "system", "content": f"You serve {mail}."},
        {"role": "user", "content": [{"type": "text", "text": f"I am {mail}"}], "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": f"It says {mail}"},
    ]
    reply = await http.post("/v1/chat/completions", json={"model": "dialogue", "messages": messages, "tools": [tool]})
    assert reply.status_code == 200, reply.text
    (request,) = pool.requests
    sent = repr((request.messages, request.tools))
    assert mail not in sent
    assert "u0040" not in sent
    assert sent.count("[EMAIL]") == 6
    await http.post("/v1/completions", json={"model": "dialogue", "prompt": f"{mail} is", "suffix": f" or {mail}"})
    assert (pool.requests[1].text, pool.requests[1].suffix) == ("[EMAIL] is", " or [EMAIL]")
    await http.post("/v1/embeddings", json={"model": "minilm", "input": [mail]})
    assert pool.embedded[0].inputs == [mail], "the policy applies to the route dialogue alone"
    services.guardrails.apply("strict", "installation")
    await http.post("/v1/embeddings", json={"model": "minilm", "input": ["x", mail]})
    assert pool.embedded[1].inputs == ["x", "[EMAIL]"]


async def test_what_cannot_be_screened_is_refused(http: httpx.AsyncClient, services: Services, pool: FakePool) -> None:
    apply(services, both=[DENY])
    tokens = await http.post("/v1/completions", json={"model": "dialogue", "prompt": [1, 2, 3]})
    assert (tokens.status_code, "token ids" in tokens.text) == (400, True)
    logprobs = await http.post("/v1/chat/completions", json=chat("Hi", logprobs=True))
    assert (logprobs.status_code, "logprobs" in logprobs.text) == (400, True)
    assert pool.requests == []


async def test_policies_apply_to_routes_projects_and_everywhere(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    services.guardrails.set("strict", {"input": [DENY]})
    services.projects.create("acme")

    async def status(model: str = "dialogue") -> int:
        return (await http.post("/v1/chat/completions", json=chat(SECRET) | {"model": model})).status_code

    assert await status() == 200
    services.guardrails.apply("strict", "project", "acme")
    assert await status() == 200
    services.guardrails.apply("strict", "route", "dialogue")
    assert (await status(), await status("smollm2")) == (400, 200)
    services.guardrails.apply("strict", "project", "owner")
    assert (await status(), await status("smollm2")) == (400, 400)
    services.guardrails.unapply("strict", "project", "owner")
    services.guardrails.apply("strict", "installation")
    assert await status("smollm2") == 400
    services.guardrails.set("strict", {"input": [DENY | {"action": "flag"}]})
    assert await status("smollm2") == 200


async def test_a_shadow_gets_the_prompt_that_the_model_got(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    services.registry.versions.append(FakeVersion(model="twin"))  # type: ignore[attr-defined]
    services.routes.set("dialogue", "smollm2", RouteSettings(shadow=Shadow("twin", 100)), actor="test")
    apply(services, input=[{"guardrail": "pii"}], output=[DENY])
    await http.post("/v1/chat/completions", json=chat("I am ann@example.com"))
    await services.pipeline.shadows.finish()
    assert len(pool.requests) == 2
    assert "ann@" not in prompts(pool)
    pool.enqueue(*PIECES)
    await http.post("/v1/chat/completions", json=chat("What is it?"))
    await services.pipeline.shadows.finish()
    assert len(pool.requests) == 3, "an answer that was cut can't be compared"


async def test_the_lines_of_a_batch_are_screened(
    app: FastAPI, http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    apply(services, both=[DENY])
    pool.enqueue(*PIECES)
    bodies = [chat(f"Tell me of the {SECRET}"), chat("What is it?")]
    lines = [
        json.dumps({"custom_id": str(i), "method": "POST", "url": "/v1/chat/completions", "body": body})
        for i, body in enumerate(bodies)
    ]
    content = "\n".join(lines).encode()
    file = (await http.post("/v1/files", data={"purpose": "batch"}, files={"file": ("b.jsonl", content)})).json()
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
    output = (await http.get(f"/v1/files/{done['output_file_id']}/content")).text
    errors = (await http.get(f"/v1/files/{done['error_file_id']}/content")).text
    assert '"content_filter"' in errors
    assert SECRET not in errors + output
    assert json.loads(output)["response"]["body"]["choices"][0]["finish_reason"] == "content_filter"


async def test_a_policy_that_cannot_be_used_lets_nothing_pass(
    http: httpx.AsyncClient, services: Services, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(services, input=[DENY])

    def broken(name: str) -> Any:
        raise ImportError("re2 isn't installed")

    monkeypatch.setattr("llmos.security.guardrails.policy.load_kind", broken)
    reply = await http.post("/v1/chat/completions", json=chat("Hi"))
    assert (reply.status_code, "strict@1 can't be used" in reply.text) == (503, True)
    assert pool.requests == []


async def test_the_endpoints_set_apply_and_remove_policies(app: FastAPI, http: httpx.AsyncClient) -> None:
    url = "/llmos/v1/guardrails"
    created = (await http.put(f"{url}/strict", json={"input": [DENY]})).json()
    assert (created["name"], created["version"], created["applied_to"]) == ("strict", 1, [])
    assert created["digest"].startswith("sha256:")
    assert (await http.put(f"{url}/strict", json={"input": [DENY]})).json()["version"] == 1
    assert (await http.put(f"{url}/strict", json={"output": [DENY]})).json()["version"] == 2
    assert (await http.get(f"{url}/strict?version=1")).json()["document"] == {"input": [DENY]}
    assert [each["version"] for each in (await http.get(f"{url}/strict/history")).json()["data"]] == [1, 2]
    place = {"scope": "route", "target": "dialogue"}
    assert (await http.post(f"{url}/strict/apply", json=place)).json()["applied_to"] == ["route:dialogue"]
    assert (await http.post(f"{url}/strict/apply", json={**place, "target": "dialog"})).status_code == 404
    assert (await http.delete(f"{url}/strict")).status_code == 409
    assert (await http.post(f"{url}/strict/unapply", json=place)).json()["applied_to"] == []
    assert (await http.post(f"{url}/strict/unapply", json=place)).status_code == 404
    assert (await http.delete(f"{url}/strict")).status_code == 204
    assert (await http.get(f"{url}/strict")).status_code == 404
    assert (await http.put(f"{url}/strict", json={"input": [DENY]})).status_code == 409
    wrong = await http.put(f"{url}/other", json={"input": [{"guardrail": "denied_topic", "phrases": ["x"]}]})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "input[0].guardrail")
    assert "denied_topics" in wrong.text


async def test_a_webhook_screens_prompts_and_streams_while_other_calls_go_on(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    loop = asyncio.get_running_loop()

    def answer(body: Any) -> Answer:
        # The service answers only after the server has answered something else.
        other = asyncio.run_coroutine_threadsafe(http.get("/health/live"), loop)
        assert other.result(30).status_code == 200
        return as_json({"hits": [{"rule": "zanzibar"}] if "Zanzibar" in body["texts"][0] else []})

    with serving(answer) as service:
        entry = {"guardrail": "webhook", "url": service.url, "allow_private": True, "budget_ms": 60_000}
        apply(services, both=[entry | {"characters": 4}])
        refused = await http.post("/v1/chat/completions", json=chat("Tell me of Zanzibar"))
        assert (refused.status_code, pool.requests) == (400, [])
        pool.enqueue("It is ", "far.", " Zanzibar")
        reply = await http.post("/v1/chat/completions", json=chat("Where is it?", stream=True))
        assert "content_filter" not in reply.text
        assert {body["side"] for _, body in service.requests} == {"input", "output"}
    services.guardrails.unapply("strict", "route", "dialogue")
