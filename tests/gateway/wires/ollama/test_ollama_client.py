"""The official client of Ollama works unchanged: plain and streamed, blocking and asynchronous, with its own errors."""

import json
from typing import Any

import httpx
import ollama
import pytest

from llmos.engine.messages import Delta, Grammar
from support.fake_backend import token
from support.scripted import KEY, FakePool, FakeRegistry, FakeVersion

pytestmark = pytest.mark.shared_gateway

HELLO: Any = [{"role": "user", "content": "Hello"}]


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
    reply = httpx.post(f"{served}/api/chat", json=body, headers={"Authorization": f"Bearer {KEY}"})
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["done"] for line in reply.text.splitlines()] == [False, False, True]
    plain = httpx.post(f"{served}/api/chat", json=body | {"stream": False}, headers={"Authorization": f"Bearer {KEY}"})
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
