"""POST /llmos/v1/likelihood with the real model: what can't be scored is refused by name, and costs others nothing."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from support.real_server import KEY, Running

pytestmark = pytest.mark.process

HEADERS = {"x-api-key": KEY}
GOOD: dict[str, Any] = {"model": "smollm2", "prompt": "The capital of France is", "continuations": [" Paris", " Rome"]}


def post(running: Running, body: bytes) -> httpx.Response:
    return httpx.post(f"{running.url}/llmos/v1/likelihood", content=body, headers=HEADERS, timeout=120)


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"prompt": "Par", "continuations": [" now", "is"]}, "continuations[1]", "merges with the end of the prompt"),
        ({"continuations": [[49_152]]}, "continuations[0]", "the model's tokens are 0 to 49,151"),
        ({"prompt": None, "tokens": [49_152]}, "tokens", "the model's tokens are 0 to 49,151"),
        ({"prompt": None, "tokens": []}, "tokens", "empty"),
        ({"prompt": ""}, "prompt", "empty"),
        ({"prompt": "word " * 8200}, "prompt", "Shorten it by"),
        ({"continuations": [" word" * 8190]}, "continuations[0]", "Shorten them by"),
        ({"continuations": ["x" * 10_000_000]}, "continuations", "characters together"),
        ({"chat_template_kwargs": {"a": 1}}, "chat_template_kwargs", "needs a conversation"),
        ({"prompt": None, "messages": []}, "messages", "empty"),
        ({"prompt": None, "messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role", "system, user"),
    ],
)
def test_what_cannot_be_scored_is_refused_by_name(
    running: Running, fields: dict[str, Any], param: str, words: str
) -> None:
    body = {name: value for name, value in (GOOD | fields).items() if value is not None}
    reply = post(running, json.dumps(body).encode())
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, param), error
    assert words in error["message"]


@pytest.mark.parametrize(
    ("text", "read"),
    [(r"\ud800", "\ufffd"), (r"\u0000", "\0"), (r"\u202e", "\u202e"), (r"\ufeff", "\ufeff")],
)
def test_odd_texts_are_texts(running: Running, text: str, read: str) -> None:
    """Half a surrogate pair is read as everywhere."""
    reply = post(running, json.dumps(GOOD).replace(" Rome", text).encode())
    assert reply.status_code == 200, reply.text
    option = reply.json()["options"][1]
    assert option["text"] == read
    assert b"".join(bytes(token["bytes"]) for token in option["tokens"]).decode() == read


def test_control_strings_are_tokens_where_the_prompt_is_what_the_model_sees(running: Running) -> None:
    def num_tokens(**fields: Any) -> int:
        body = {name: value for name, value in (GOOD | fields).items() if value is not None}
        reply = post(running, json.dumps(body | {"continuations": ["<|im_end|>"]}).encode())
        assert reply.status_code == 200, reply.text
        return len(reply.json()["options"][0]["tokens"])

    assert num_tokens() == 1
    assert num_tokens(parse_special=False) > 3
    assert num_tokens(prompt=None, messages=[{"role": "user", "content": "Hi"}]) > 3
    assert num_tokens(prompt=None, tokens=[504, 3575]) > 3


def test_wrong_requests_do_not_change_the_answers_of_others(running: Running) -> None:
    expected = post(running, json.dumps(GOOD).encode()).json()["options"]
    wrong = GOOD | {"continuations": [" Paris", [49_152]]}
    bodies = [json.dumps(each).encode() for each in (GOOD, wrong) * 8]
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda body: post(running, body), bodies))
    assert [reply.status_code for reply in replies] == [200, 400] * 8
    assert all(reply.json()["options"] == expected for reply in replies[::2])


def test_the_cache_is_used_and_filled_and_changes_nothing(running: Running) -> None:
    asked = GOOD | {"prompt": "A prompt that no other test has, number nineteen. " * 20, "cache_salt": "of this test"}
    first, second = (post(running, json.dumps(asked).encode()).json() for _ in range(2))
    assert first["options"] == second["options"]
    assert first["usage"]["prompt_tokens"] == second["usage"]["prompt_tokens"]
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] > 100
    assert second["usage"]["computed_tokens"] < first["usage"]["computed_tokens"] - 100
