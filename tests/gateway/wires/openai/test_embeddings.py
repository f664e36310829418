"""POST /v1/embeddings: valid and invalid requests, chunks and cancellation."""

import asyncio
import base64
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI

from llmos.core.errors import PromptTooLong, ReplicaFailed
from llmos.deployments.backend import Backends
from llmos.gateway.calls.embedding import CHUNK_INPUTS, CHUNKS_AT_ONCE
from llmos.gateway.services import Services
from support.looking import pause
from support.scripted import KEY, MINILM, Connection, FakePool

pytestmark = [pytest.mark.anyio, pytest.mark.shared_gateway]

ASKED: dict[str, Any] = {"model": "minilm", "input": ["a", "bc", "def"]}


@pytest.fixture
def backends() -> Backends | None:
    """The backends over the fake pool: they know which models make vectors."""
    return None


@pytest.fixture
def client(served: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def test_the_official_client_gets_the_same_vectors_in_both_encodings(client: openai.OpenAI) -> None:
    as_base64 = client.embeddings.create(**ASKED)  # what the client asks for by itself
    as_floats = client.embeddings.create(**ASKED, encoding_format="float")
    assert [each.embedding for each in as_floats.data] == [[1.0, 3.0], [2.0, 3.0], [3.0, 3.0]]
    assert [each.embedding for each in as_base64.data] == [each.embedding for each in as_floats.data]
    assert [each.index for each in as_floats.data] == [0, 1, 2]
    assert as_floats.model == "minilm@1"
    assert (as_floats.usage.prompt_tokens, as_floats.usage.total_tokens) == (6, 6)


async def test_base64_is_of_little_endian_floats(http: httpx.AsyncClient) -> None:
    reply = await http.post("/v1/embeddings", json={**ASKED, "encoding_format": "base64"})
    assert base64.b64decode(reply.json()["data"][1]["embedding"]) == struct.pack("<ff", 2, 3)


async def test_a_text_alone_and_a_list_of_tokens_are_one_input(http: httpx.AsyncClient, pool: FakePool) -> None:
    for given in ("abc", [5, 6, 7], [[5, 6, 7]], ["abc"]):
        reply = await http.post("/v1/embeddings", json={"model": "minilm", "input": given})
        assert [each["embedding"] for each in reply.json()["data"]] == [[3.0, 1.0]]
    assert [(each.inputs, each.input_names) for each in pool.embedded] == [
        (["abc"], ["input"]), ([[5, 6, 7]], ["input"]), ([[5, 6, 7]], ["input[0]"]), (["abc"], ["input[0]"]),
    ]  # fmt: skip


async def test_request_fields_reach_the_engine(http: httpx.AsyncClient, pool: FakePool) -> None:
    said = {"dimensions": 7, "prompt_name": "query", "user": "eve", "priority": 3}
    for truncation in ({"truncate": True}, {"truncate_prompt_tokens": -1}, {"truncate_prompt_tokens": 9}, {}):
        assert (await http.post("/v1/embeddings", json={**ASKED, **said, **truncation})).status_code == 200
    assert [each.truncate_to for each in pool.embedded] == [0, 0, 9, None]
    first = pool.embedded[0]
    assert (first.dimensions, first.prompt, first.priority) == (7, "query", 3)
    assert first.caller.endswith("\neve")


async def test_a_long_call_goes_in_chunks_and_comes_back_in_order(http: httpx.AsyncClient, pool: FakePool) -> None:
    texts = ["x" * (1 + i % 90) for i in range(1000)]
    reply = (await http.post("/v1/embeddings", json={"model": "minilm", "input": texts})).json()
    assert [each["embedding"][0] for each in reply["data"]] == [float(len(text)) for text in texts]
    assert reply["usage"]["prompt_tokens"] == sum(map(len, texts))
    assert max(len(each.inputs) for each in pool.embedded) == CHUNK_INPUTS
    assert [name for each in pool.embedded for name in each.input_names] == [f"input[{i}]" for i in range(1000)]


async def test_texts_that_are_long_go_in_smaller_chunks(http: httpx.AsyncClient, pool: FakePool) -> None:
    await http.post("/v1/embeddings", json={"model": "minilm", "input": ["x" * 40_000] * 5})
    assert [len(each.inputs) for each in pool.embedded] == [1] * 5


async def test_the_number_of_concurrent_chunks_is_limited(app: FastAPI, pool: FakePool) -> None:
    pool.gate = asyncio.Event()
    caller = Connection(app, "/v1/embeddings", {"model": "minilm", "input": ["x"] * 1000})
    call = caller.start()
    while len(pool.embedded) < CHUNKS_AT_ONCE:
        await pause()
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(pool.embedded) == CHUNKS_AT_ONCE
    pool.gate.set()
    await call
    assert '"index":999' in caller.text


@pytest.mark.own_gateway
async def test_hanging_up_stops_all_chunks(app: FastAPI, pool: FakePool, services: Services) -> None:
    pool.gate = asyncio.Event()
    caller = Connection(app, "/v1/embeddings", {"model": "minilm", "input": ["x"] * 300})
    call = caller.start()
    await pool.someone_came.wait()
    caller.hang_up()
    await call
    assert sorted(pool.closed_early) == sorted(each.id for each in pool.embedded)
    assert services.call_counts.of("minilm@1").cancelled == 1
    assert services.call_counts.of("minilm@1").running == 0


async def test_an_error_ends_the_call_and_its_other_chunks(http: httpx.AsyncClient, pool: FakePool) -> None:
    pool.embed_error = PromptTooLong("`input[3]` has 300 tokens; the model accepts 256.", param="input[3]")
    reply = await http.post("/v1/embeddings", json={"model": "minilm", "input": ["x"] * 300})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "input[3]"
    assert reply.json()["error"]["code"] == "context_length_exceeded"
    pool.embed_error = ReplicaFailed("The process died.")
    assert (await http.post("/v1/embeddings", json=ASKED)).status_code == 502


@pytest.mark.own_gateway
async def test_computed_tokens_and_vectors_are_counted(http: httpx.AsyncClient, services: Services) -> None:
    await http.post("/v1/embeddings", json=ASKED)
    metrics = services.metrics.render().decode()
    assert 'llmos_prompt_tokens_total{model_name="minilm@1"} 6.0' in metrics
    assert 'llmos_vectors_total{model_name="minilm@1"} 3.0' in metrics
    assert 'llmos_calls_ended_total{model_name="minilm@1",outcome="answered"} 1.0' in metrics


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"input": []}, "input", "empty"),
        ({"input": ""}, "input", "empty text"),
        ({"input": ["a", ""]}, "input[1]", "empty text"),
        ({"input": [[1], []]}, "input[1]", "empty list of tokens"),
        ({"input": [1, "a"]}, "input", "mixes"),
        ({"input": 7}, "input", "expected"),
        ({"input": ["a", None]}, "input[1]", "expected"),
        ({"input": [-1]}, "input[0]", ">= 0"),
        ({"input": ["a"] * 10_000}, "input", "2,048"),
        ({"encoding_format": "int8"}, "encoding_format", "int8"),
        ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens", "1 or more"),
        ({"truncate_prompt_tokens": -2}, "truncate_prompt_tokens", "1 or more"),
        ({"dimensions": "many"}, "dimensions", "integer"),
        ({"dimension": 3}, "dimension", "dimensions"),
        ({"input_type": "query"}, "input_type", "prompt_name"),
        ({"model": "smollm2"}, "model", "minilm"),
    ],
)
async def test_invalid_fields_are_rejected_by_name(
    http: httpx.AsyncClient, pool: FakePool, services: Services, fields: dict[str, Any], param: str, words: str
) -> None:
    services.registry.versions.append(MINILM)  # type: ignore[attr-defined]
    reply = await http.post("/v1/embeddings", json=ASKED | fields)
    error = reply.json()["error"]
    assert reply.status_code == 400, error
    assert error["param"] == param
    assert words in error["message"]
    assert pool.embedded == []


async def test_generating_with_an_encoder_names_a_model_that_generates(http: httpx.AsyncClient) -> None:
    chat = {"model": "minilm", "messages": [{"role": "user", "content": "Hello"}]}
    error = (await http.post("/v1/chat/completions", json=chat)).json()["error"]
    assert error["message"] == "minilm@1 turns texts into vectors and writes none. Ask for smollm2."
    assert error["param"] == "model"


async def test_embedding_without_an_encoder_says_how_to_get_one(http: httpx.AsyncClient) -> None:
    error = (await http.post("/v1/embeddings", json=ASKED | {"model": "smollm2"})).json()["error"]
    assert "llmos pull minilm" in error["message"]
