"""Errors name the field, and raise the official client's own class."""

from typing import Any

import httpx
import ollama
import pytest

from llmos.core.errors import PromptTooLong, ReplicaFailed
from support.scripted import KEY, FakePool

pytestmark = pytest.mark.shared_gateway

HELLO: Any = [{"role": "user", "content": "Hello"}]


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
        reply = httpx.post(f"{served}/api/{path}", json=body, headers={"Authorization": f"Bearer {KEY}"})
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
