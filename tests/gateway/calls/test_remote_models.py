"""Models at a provider, which is a second LLMOS server here, through its OpenAI and its Anthropic API."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.client import Client
from llmos.core.errors import NotFound, Overloaded, PromptTooLong, ReplicaFailed
from llmos.engine.messages import Delta, ToolCallDelta
from llmos.gateway.services import Services
from support.real_server import KEY as REAL_KEY
from support.real_server import Running
from support.remote_models import STREAM, Strange, remote, strange_provider
from support.scripted import KEY, Connection, FakePool, events, fake_route

pytestmark = pytest.mark.anyio

PATH = "/v1/chat/completions"
CHAT: dict[str, Any] = {"model": "gpt-3", "messages": [{"role": "user", "content": "Hi"}]}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
SECRET = "a-key-that-nobody-sees"


@pytest.fixture(params=["openai", "anthropic"])
def far(request: pytest.FixtureRequest, services: Services, served: str) -> str:
    """The second server, spoken to in either format."""
    remote(services, f"{served}/v1", kind=request.param)
    return str(request.param)


async def test_a_conversation_is_answered_with_what_the_provider_counted(
    far: str, http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    asked = {**CHAT, "max_tokens": 7, "temperature": 0.5, "stop": ["END"]}
    reply = await http.post(PATH, json=asked)
    answer = reply.json()
    assert (answer["model"], reply.headers["llmos-version"]) == ("remote:far/smollm2", "remote:far/smollm2")
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (5, 3)
    (request,) = pool.requests
    assert request.messages == [{"role": "user", "content": "Hi"}]
    assert (request.sampling.max_tokens, request.sampling.temperature, request.sampling.stop) == (7, 0.5, ["END"])
    window = services.evidence.window("gpt-3", "remote:far/smollm2")
    assert window.num_answered == 1
    assert window.first_token_seconds is not None


async def test_given_texts_cannot_be_scored_at_a_provider(
    far: str, http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    """Not even where the route has a model of this machine to fall back on: the request would be wrong again."""
    routes: Any = services.routes
    routes.routes["gpt-3"] = fake_route("gpt-3", "remote:far/smollm2", fallbacks=["smollm2"])
    scored = {"model": "gpt-3", "prompt": "Hi", "max_tokens": 1}
    for path, fields in [
        ("/llmos/v1/likelihood", {"model": "gpt-3", "prompt": "Hi", "continuations": ["!"]}),
        ("/v1/completions", scored | {"echo": True, "logprobs": 1}),
        ("/v1/completions", scored | {"prompt_logprobs": 1}),
        (PATH, CHAT | {"prompt_logprobs": 0}),
    ]:
        reply = await http.post(path, json=fields)
        error = reply.json()["error"]
        assert (reply.status_code, error["param"]) == (400, "model"), error
        assert "remote:far/smollm2 runs at far and can't score given texts" in error["message"]
    assert not pool.rated
    assert not pool.requests


async def test_a_stream_is_passed_on_while_it_arrives(far: str, http: httpx.AsyncClient) -> None:
    asked = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    *said, usage = events((await http.post(PATH, json=asked)).text)
    text = "".join(each["choices"][0]["delta"].get("content") or "" for each in said)
    assert text == "Hello"
    assert {each["model"] for each in said} == {"remote:far/smollm2"}
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == (5, 3)


async def test_every_wire_format_answers_from_a_provider(far: str, http: httpx.AsyncClient) -> None:
    message = (await http.post("/v1/messages", json={**CHAT, "max_tokens": 9})).json()
    assert (message["content"][0]["text"], message["usage"]["input_tokens"]) == ("Hello", 5)
    generated = (await http.post("/llmos/v1/generate", json={"model": "gpt-3", "prompt": "Hi"})).json()
    assert (generated["text"], generated["digest"], generated["version"]) == ("Hello", None, "remote:far/smollm2")
    response = (await http.post("/v1/responses", json={"model": "gpt-3", "input": "Hi"})).json()
    assert response["output"][0]["content"][0]["text"] == "Hello"
    chat = (await http.post("/api/chat", json={**CHAT, "stream": False})).json()
    assert (chat["message"]["content"], chat["prompt_eval_count"], chat["eval_count"]) == ("Hello", 5, 3)


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_are_called_and_their_results_go_back(
    far: str, http: httpx.AsyncClient, pool: FakePool, stream: bool
) -> None:
    call = [ToolCallDelta(0, id="call_1", name="look_up"), ToolCallDelta(0, arguments='{"a": 1}')]
    pool.enqueue(
        *(Delta(id="", tool_calls=[each], num_output_tokens=4) for each in call),
        Delta(id="", finish_reason="tool_calls", num_output_tokens=9),
    )
    body = {**CHAT, "tools": [TOOL], "tool_choice": "required", "stream": stream}
    reply = await http.post(PATH, json=body)
    if stream:
        deltas = [each["choices"][0]["delta"] for each in events(reply.text)]
        pieces = [piece for delta in deltas for piece in delta.get("tool_calls", ())]
        assert (pieces[0]["id"], pieces[0]["function"]["name"]) == ("call_1", "look_up")
        arguments = "".join(piece["function"]["arguments"] for piece in pieces)
    else:
        (choice,) = reply.json()["choices"]
        assert choice["finish_reason"] == "tool_calls"
        (called,) = choice["message"]["tool_calls"]
        assert (called["id"], called["function"]["name"]) == ("call_1", "look_up")
        arguments = called["function"]["arguments"]
    assert json.loads(arguments) == {"a": 1}
    tools = pool.requests[0].tools
    assert tools is not None
    assert (tools.choice, tools.functions[0]["name"]) == ("required", "look_up")
    history = [
        *CHAT["messages"],
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"a": 1}'}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    ]  # fmt: skip
    assert (await http.post(PATH, json={**body, "messages": history, "stream": False})).status_code == 200
    messages = pool.requests[-1].messages
    assert messages is not None
    function = messages[1]["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == ("look_up", {"a": 1})
    assert (messages[2]["role"], messages[2]["tool_call_id"], messages[2]["content"]) == ("tool", "call_1", "42")


async def test_a_schema_is_sent_to_the_provider(far: str, http: httpx.AsyncClient, pool: FakePool) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert (await http.post(PATH, json={**CHAT, "response_format": format})).status_code == 200
    grammar = pool.requests[0].grammar
    assert grammar is not None
    assert json.loads(grammar.text) == schema


async def test_a_truncated_answer_has_finish_reason_length(far: str, http: httpx.AsyncClient, pool: FakePool) -> None:
    pool.enqueue("Hel", Delta(id="", finish_reason="length", num_output_tokens=2))
    answer = (await http.post(PATH, json={**CHAT, "max_tokens": 2})).json()
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_p", 0.1),
        ("logprobs", True),
        ("repetition_penalty", 1.1),
        ("min_tokens", 3),
        ("stop_token_ids", [1]),
        ("ignore_eos", True),
        ("structured_outputs", {"regex": "a+"}),
        ("chat_template_kwargs", {"tone": "kind"}),
    ],
)
async def test_unsupported_fields_of_a_provider_are_rejected_by_name(
    far: str, http: httpx.AsyncClient, pool: FakePool, field: str, value: Any
) -> None:
    reply = await http.post(PATH, json={**CHAT, field: value})
    assert reply.status_code == 400
    assert "remote:far/smollm2 can't" in reply.json()["error"]["message"]
    assert pool.requests == []


async def test_operations_that_need_a_local_model_are_rejected(far: str, http: httpx.AsyncClient) -> None:
    for path, body in {
        "/v1/completions": {"model": "gpt-3", "prompt": [1, 2, 3]},
        "/v1/embeddings": {"model": "gpt-3", "input": "Hi"},
        "/v1/messages/count_tokens": CHAT,
    }.items():
        reply = await http.post(path, json=body)
        assert reply.status_code == 400, path
        assert "remote:far/smollm2" in reply.json()["error"]["message"]


async def test_a_text_is_continued_where_the_format_can(
    http: httpx.AsyncClient, services: Services, served: str, pool: FakePool
) -> None:
    remote(services, f"{served}/v1")
    body = {"model": "gpt-3", "prompt": ["One", "Two"], "max_tokens": 5}
    answer = (await http.post("/v1/completions", json=body)).json()
    assert [choice["text"] for choice in answer["choices"]] == ["Hello", "Hello"]
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (10, 6)
    assert sorted(request.text or "" for request in pool.requests) == ["One", "Two"]
    remote(services, f"{served}/v1", kind="anthropic")
    reply = await http.post("/v1/completions", json=body)
    assert "can't continue a text as it stands" in reply.json()["error"]["message"]


async def test_several_choices_are_kept_apart_and_counted_together(
    http: httpx.AsyncClient, services: Services, served: str
) -> None:
    remote(services, f"{served}/v1")
    answer = (await http.post(PATH, json={**CHAT, "n": 3})).json()
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["Hello"] * 3
    assert answer["usage"]["completion_tokens"] == 9


async def test_a_hang_up_reaches_the_provider(far: str, app: FastAPI, services: Services, pool: FakePool) -> None:
    pool.enqueue("Hel", pool.never)
    caller = Connection(app, PATH, {**CHAT, "stream": True})
    running = caller.start()
    await caller.first_chunk()
    caller.hang_up()
    await asyncio.wait([running])
    assert await asyncio.to_thread(pool.was_closed_early.wait, 60)
    assert services.call_counts.of("remote:far/smollm2").cancelled == 1
    await services.provider_clients.close()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Overloaded("Too many.", retry_after_seconds=7), 429, "rate_limit_exceeded"),
        (PromptTooLong("It is too long."), 400, None),
        (ReplicaFailed("It died."), 502, "provider_failed"),
    ],
)
async def test_errors_of_a_provider_become_ours_and_name_it(
    far: str, http: httpx.AsyncClient, pool: FakePool, error: Exception, status: int, code: str | None
) -> None:
    pool.enqueue(error)
    reply = await http.post(PATH, json=CHAT)
    body = reply.json()["error"]
    assert reply.status_code == status
    assert "provider far" in body["message"]
    assert str(error) in body["message"]
    assert code in (None, body["code"])


async def test_a_provider_that_asks_for_patience_is_left_alone(
    far: str, http: httpx.AsyncClient, pool: FakePool
) -> None:
    pool.enqueue(Overloaded("Too many.", retry_after_seconds=7))
    first, second = [await http.post(PATH, json=CHAT) for _ in range(2)]
    assert first.headers["retry-after"] == "7"
    assert second.status_code == 429
    assert 5 <= int(second.headers["retry-after"]) <= 7
    assert len(pool.requests) == 1


async def test_a_failure_in_the_middle_ends_the_stream_with_an_error(
    far: str, http: httpx.AsyncClient, pool: FakePool
) -> None:
    pool.enqueue("Hel", ReplicaFailed("It died."))
    reply = await http.post(PATH, json={**CHAT, "stream": True})
    assert "Hel" in reply.text
    assert "provider far" in events(reply.text)[-1]["error"]["message"]


async def test_a_wrong_key_is_not_the_callers(
    http: httpx.AsyncClient, services: Services, served: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    remote(services, f"{served}/v1", key=SECRET)
    reply = await http.post(PATH, json=CHAT)
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "provider_failed")
    assert "llmos provider add far" in reply.json()["error"]["message"]
    assert SECRET not in reply.text + caplog.text + repr(services.providers.list())


async def test_a_fallback_replaces_an_unreachable_provider(http: httpx.AsyncClient, services: Services) -> None:
    remote(services, "http://127.0.0.1:9/v1")
    reply = await http.post(PATH, json=CHAT)
    assert reply.status_code == 503
    assert "provider far can't be reached at http://127.0.0.1:9/v1" in reply.json()["error"]["message"]
    remote(services, "http://127.0.0.1:9/v1", fallbacks=("smollm2",))
    answer = (await http.post(PATH, json=CHAT)).json()
    assert (answer["model"], answer["choices"][0]["message"]["content"]) == ("smollm2@1", "Hello")


async def test_a_provider_stands_in_for_a_model_that_fails(
    far: str, http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    routes: Any = services.routes
    routes.routes["gpt-3"] = fake_route("gpt-3", "smollm2", fallbacks=("remote:far/smollm2",))
    pool.enqueue(ReplicaFailed("It died."))
    assert (await http.post(PATH, json=CHAT)).json()["model"] == "remote:far/smollm2"


@pytest.fixture
def strange() -> Iterator[tuple[str, type[Strange]]]:
    with strange_provider() as found:
        yield found


ENDED = b'data: {"choices": [{"delta": {"content": "Hel"}, "finish_reason": "stop"}]}\n\n'


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((302, {"location": "http://127.0.0.1:1/steal"}, b""), "does not follow"),
        ((200, {"content-type": "text/html"}, b"<html>"), "answers with text/html instead of a stream of events"),
        ((200, STREAM, b"data: <html>\n\n"), "its API does not have"),
        ((200, STREAM, b"data: [1]\n\n"), "its API does not have"),
        ((200, STREAM, b'data: {"choices": "many"}\n\n'), "its API does not have"),
        ((200, STREAM, b'data: {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}\n\n'), "ended its stream"),
        ((200, STREAM, b'data: {"choices": [{"delta": {"content": ["Hel"]}}]}\n\n'), "its API does not have"),
        ((200, STREAM, ENDED + b'data: {"usage": {"completion_tokens": -1}}\n\n'), "its API does not have"),
        ((200, STREAM, ENDED + b'data: {"usage": {"prompt_tokens_details": 1}}\n\n'), "its API does not have"),
        ((404, {}, b"nothing"), "doesn't know the model"),
        ((418, {}, b'{"error": {"message": "Short\\nand stout"}}'), "status 418: Short and stout"),
        ((500, {}, b"x" * 10_000_000), "failed with status 500."),
    ],
)
async def test_an_invalid_answer_is_reported_as_the_providers_failure(
    http: httpx.AsyncClient,
    services: Services,
    strange: tuple[str, type[Strange]],
    answer: tuple[int, dict[str, str], bytes],
    said: str,
) -> None:
    url, handler = strange
    handler.answer = answer
    remote(services, url)
    reply = await http.post(PATH, json=CHAT)
    assert reply.status_code == 502
    assert said in reply.json()["error"]["message"]
    assert handler.asked == ["/chat/completions"]


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}, b'{"error": {"message": "What is %s?"}}' % SECRET.encode()),
        (200, STREAM, b'data: {"error": {"message": "What is %s?"}}\n\n' % SECRET.encode()),
    ],
)
async def test_a_key_in_a_providers_error_is_not_passed_on(
    http: httpx.AsyncClient,
    services: Services,
    strange: tuple[str, type[Strange]],
    answer: tuple[int, dict[str, str], bytes],
) -> None:
    url, handler = strange
    handler.answer = answer
    remote(services, url, key=SECRET)
    reply = await http.post(PATH, json=CHAT)
    assert "What is (the key)?" in reply.json()["error"]["message"]


async def test_a_rest_without_an_end_is_none(
    http: httpx.AsyncClient, services: Services, strange: tuple[str, type[Strange]]
) -> None:
    url, handler = strange
    handler.answer = (503, {"retry-after": "inf"}, b"")
    remote(services, url)
    reply = await http.post(PATH, json=CHAT)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")


async def test_a_providers_filter_is_a_true_finish_reason(
    http: httpx.AsyncClient, services: Services, strange: tuple[str, type[Strange]]
) -> None:
    url, handler = strange
    body = b'data: {"choices": [{"index": 0, "delta": {"content": "I"}, "finish_reason": "content_filter"}]}\n\n'
    handler.answer = (200, STREAM, body)
    remote(services, url)
    assert (await http.post(PATH, json=CHAT)).json()["choices"][0]["finish_reason"] == "content_filter"
    message = (await http.post("/v1/messages", json={**CHAT, "max_tokens": 9})).json()
    assert message["stop_reason"] == "refusal"
    response = (await http.post("/v1/responses", json={"model": "gpt-3", "input": "Hi"})).json()
    assert (response["status"], response["incomplete_details"]["reason"]) == ("incomplete", "content_filter")


async def test_lists_and_descriptions_include_remote_models(far: str, http: httpx.AsyncClient) -> None:
    listed = {each["id"]: each for each in (await http.get("/v1/models")).json()["data"]}
    assert listed["gpt-3"]["version"] == "remote:far/smollm2"
    assert listed["gpt-3"]["max_model_len"] is None
    described = (await http.get("/llmos/v1/models/gpt-3")).json()
    assert (described["version"], described["digest"], described["family"]) == ("remote:far/smollm2", None, "remote")
    assert (await http.get("/v1/models/gpt-3", headers={"anthropic-version": "1"})).json()["id"] == "gpt-3"
    tags = (await http.get("/api/tags")).json()["models"]
    assert "gpt-3:latest" in [each["name"] for each in tags]
    shown = (await http.post("/api/show", json={"model": "gpt-3"})).json()
    assert "completion" in shown["capabilities"]
    assert (await http.get("/v2/models/gpt-3/ready")).status_code == 200


async def test_providers_are_kept_over_http_and_keys_never_come_out(
    http: httpx.AsyncClient, services: Services, served: str
) -> None:
    path = "/llmos/v1/providers/far"
    added = await http.put(path, json={"kind": "openai", "base_url": f"{served}/v1/", "key": KEY})
    assert (added.json()["base_url"], added.json()["has_key"]) == (f"{served}/v1", True)
    described, listed = await http.get(path), await http.get("/llmos/v1/providers")
    assert KEY not in added.text + described.text + listed.text
    assert "smollm2" in (await http.get(f"{path}/models")).json()["models"]
    assert (await http.delete(path)).status_code == 204
    with pytest.raises(NotFound):
        services.providers.get("far")
    for body in ({"base_url": "ftp://x"}, {"base_url": "https://u:p@x"}, {"base_url": "http://x", "kind": "bedrock"}):
        assert (await http.put(path, json=body)).status_code == 400


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_the_real_model_of_another_server_answers(services: Services, served: str, running: Running, kind: str) -> None:
    remote(services, f"{running.url}/v1", kind=kind, key=REAL_KEY)
    messages = [{"role": "user", "content": "Name a colour."}]
    options: Any = {"temperature": 0, "max_tokens": 8}
    with Client(running.url, api_key=REAL_KEY) as near:
        there = near.models.get("smollm2").chat(messages, **options)
    with Client(served, api_key=KEY) as client:
        model = client.models.get("gpt-3")
        assert model.version == "remote:far/smollm2"
        here = model.chat(messages, **options)
        streamed = "".join(model.chat(messages, stream=True, **options))
        assert model.generate_text("Name a colour.", **options).text == there.text
    assert (here.text, here.finish_reason, streamed) == (there.text, there.finish_reason, there.text)
    assert (here.usage.prompt_tokens, here.usage.completion_tokens) == (
        there.usage.prompt_tokens,
        there.usage.completion_tokens,
    )
    assert here.version == "remote:far/smollm2"
