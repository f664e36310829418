"""Invalid input in every wire format: each client gets its own error, and the server keeps working."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anthropic
import ollama
import openai
import pytest
import tritonclient.http as triton
from tritonclient.http._utils import _raise_if_error
from tritonclient.utils import InferenceServerException

from support.real_server import KEY, Running

pytestmark = pytest.mark.process

Body = dict[str, Any]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
BROKEN = "~~no base64~~"
MANY = 10_000


class Refused(Exception):
    """The status and message that the client read from an error; no message, or all of the body, in another format."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def by_openai(url: str, path: str, body: Body) -> None:
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=120) as client:
        try:
            client.post(path, body=body, cast_to=object)
        except openai.APIStatusError as error:
            raise Refused(error.status_code, error.body["message"] if error.code and error.type else "") from None  # type: ignore[index]


def by_ollama(url: str, path: str, body: Body) -> None:
    with ollama.Client(host=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=120) as client:
        try:
            client._request_raw("POST", path, json=body)
        except ollama.ResponseError as error:
            raise Refused(error.status_code, error.error) from None


def by_anthropic(url: str, path: str, body: Body) -> None:
    with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0, timeout=120) as client:
        try:
            client.post(path, body=body, cast_to=object)
        except anthropic.APIStatusError as error:
            raise Refused(error.status_code, error.body["error"]["message"] if error.type else "") from None  # type: ignore[index, call-overload]


def by_triton(url: str, path: str, body: Body) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    with triton.InferenceServerClient(url.removeprefix("http://"), network_timeout=120) as client:
        reply = client._post(path.removeprefix("/"), json.dumps(body), headers, None)
        try:
            _raise_if_error(reply)
        except InferenceServerException as error:
            raise Refused(int(error.status()), error.message()) from None


@dataclass(frozen=True, kw_only=True)
class Format:
    path: str
    send: Callable[[str, str, Body], None]
    """Send through the real client. Raises Refused."""
    good: Body
    bad: Mapping[str, tuple[Body, str]]
    """The problem -> the fields that cause it, and a part of the error message."""
    streams: bool = True

    def body(self, fields: Body, *, stream: bool) -> Body:
        return self.good | ({"stream": stream} if self.streams else {}) | fields


def user(content: Any, **more: Any) -> Body:
    return {"messages": [{"role": "user", "content": content, **more}]}


def tensor(data: Any, **more: Any) -> Body:
    return {"inputs": [{"name": "text_input", "shape": [1], "datatype": "BYTES", "data": data, **more}]}


def image_url(data: str) -> Body:
    return user([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}])


def image_source(data: str) -> Body:
    return user([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}])


def input_image(data: str) -> Body:
    part = {"type": "input_image", "image_url": f"data:image/png;base64,{data}"}
    return {"input": [{"role": "user", "content": [part]}]}


FORMATS = {
    "chat": Format(
        path="/v1/chat/completions",
        send=by_openai,
        good={"model": "dialogue", "max_tokens": 1, **user("Hello")},
        bad={
            "no list of messages": ({"messages": "Hello"}, "`messages` is wrong"),
            "a number for a text": (user(7), "content"),
            "a text for a number": ({"temperature": "warm"}, "`temperature` is wrong"),
            "an unknown role": ({"messages": [{"role": "robot", "content": "Hello"}]}, "'robot'"),
            "a result without a call": (
                {"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "7"}]},
                "messages[0]",
            ),
            "an image": (image_url(PIXEL), "messages[0].content"),
            "an image that is none": (image_url(BROKEN), "messages[0].content"),
            "nothing": ({"messages": []}, "`messages` is empty"),
            "10,000 inputs": ({"messages": user("Hello")["messages"] * MANY}, "8,192"),
            "an unknown field": ({"temprature": 1}, "Did you mean `temperature`?"),
        },
    ),
    "completions": Format(
        path="/v1/completions",
        send=by_openai,
        good={"model": "dialogue", "max_tokens": 1, "prompt": "Once"},
        bad={
            "a number for a text": ({"prompt": 7}, "`prompt` is wrong"),
            "a token that is none": ({"prompt": [1.5]}, "`prompt[0]` is wrong"),
            "a token that the model hasn't": ({"prompt": [10_000_000]}, "10000000"),
            "nothing": ({"prompt": []}, "`prompt` is empty"),
            "an empty text": ({"prompt": ""}, "empty"),
            "10,000 inputs": ({"prompt": ["Once"] * MANY}, "10,000 prompts"),
        },
    ),
    "responses": Format(
        path="/v1/responses",
        send=by_openai,
        good={"model": "dialogue", "max_output_tokens": 16, "input": "Hello"},
        bad={
            "a number for a text": ({"input": 7}, "`input` is wrong"),
            "an unknown role": ({"input": [{"role": "robot", "content": "Hello"}]}, "input[0].role"),
            "an unknown item": ({"input": [{"type": "thought", "content": "Hello"}]}, "'thought'"),
            "a result without a call": (
                {"input": [{"type": "function_call_output", "call_id": "call_1", "output": "7"}]},
                "call_1",
            ),
            "an image": (input_image(PIXEL), "input[0].content"),
            "an image that is none": (input_image(BROKEN), "input[0].content"),
            "nothing": ({"input": []}, "empty"),
            "10,000 inputs": ({"input": [{"role": "user", "content": "Hello"}] * MANY}, "8,192"),
        },
    ),
    "messages": Format(
        path="/v1/messages",
        send=by_anthropic,
        good={"model": "dialogue", "max_tokens": 1, **user("Hello")},
        bad={
            "no list of messages": ({"messages": "Hello"}, "`messages` is wrong"),
            "a number for a text": (user(7), "messages[0].content"),
            "a text for a number": ({"temperature": "warm"}, "`temperature` is wrong"),
            "an unknown role": ({"messages": [{"role": "robot", "content": "Hello"}]}, "messages[0].role"),
            "a result without a call": (
                user([{"type": "tool_result", "tool_use_id": "call_1", "content": "7"}]),
                "call_1",
            ),
            "an image": (image_source(PIXEL), "messages[0].content"),
            "an image that is none": (image_source(BROKEN), "messages[0].content"),
            "nothing": ({"messages": []}, "`messages` is empty"),
            "10,000 inputs": ({"messages": user("Hello")["messages"] * MANY}, "8,192"),
            "an unknown field": ({"temprature": 1}, "Did you mean `temperature`?"),
        },
    ),
    "ollama chat": Format(
        path="/api/chat",
        send=by_ollama,
        good={"model": "dialogue", "options": {"num_predict": 1}, **user("Hello")},
        bad={
            "no list of messages": ({"messages": "Hello"}, "`messages` is wrong"),
            "a number for a text": (user(7), "content` is wrong"),
            "a text for a number": ({"options": {"temperature": "warm"}}, "`options.temperature` is wrong"),
            "an unknown role": ({"messages": [{"role": "robot", "content": "Hello"}]}, "'robot'"),
            "a result without a call": (
                {"messages": [{"role": "tool", "tool_name": "add", "content": "7"}]},
                "no call of add",
            ),
            "an image": (user("Look", images=[PIXEL]), "`messages[0].images` is not supported"),
            "an image that is none": (user("Look", images=[BROKEN]), "`messages[0].images` is not supported"),
            "10,000 inputs": ({"messages": user("Hello")["messages"] * MANY}, "8,192"),
            "an unknown field": ({"temprature": 1}, "There is no field"),
        },
    ),
    "ollama generate": Format(
        path="/api/generate",
        send=by_ollama,
        good={"model": "dialogue", "options": {"num_predict": 1}, "prompt": "Once"},
        bad={
            "a number for a text": ({"prompt": 7}, "`prompt` is wrong"),
            "a list of texts": ({"prompt": ["Once"] * MANY}, "`prompt` is wrong"),
            "an image": ({"images": [PIXEL]}, "`images` is not supported"),
            "an image that is none": ({"images": [BROKEN]}, "`images` is not supported"),
            "a prompt that is too long": ({"prompt": "Once " * MANY}, "8,192"),
        },
    ),
    "infer": Format(
        path="/v2/models/dialogue/infer",
        send=by_triton,
        good={**tensor(["Once"]), "parameters": {"max_tokens": 1}},
        bad={
            "a number for a text": (tensor([7]), ""),
            "a tensor of numbers": (tensor([7], datatype="INT32"), "must be BYTES"),
            "another shape": (tensor(["Once"], shape=[2]), ""),
            "nothing": ({"inputs": []}, ""),
            "10,000 inputs": (tensor(["Once"] * MANY, shape=[MANY]), "10,000"),
            "an unknown parameter": ({"parameters": {"temprature": 1}}, "temperature"),
        },
        streams=False,
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("name", "wrong"), [(name, wrong) for name, each in FORMATS.items() for wrong in each.bad], ids=str
)
def test_invalid_input_is_rejected_in_the_format_of_the_client(
    running: Running, name: str, wrong: str, stream: bool
) -> None:
    asked = FORMATS[name]
    fields, words = asked.bad[wrong]
    with pytest.raises(Refused) as refused:
        asked.send(running.url, asked.path, asked.body(fields, stream=stream))
    assert refused.value.status == 400
    assert not refused.value.message.startswith("{")
    assert words in refused.value.message


@pytest.mark.parametrize("name", FORMATS)
def test_the_server_still_works_after_invalid_input(running: Running, name: str) -> None:
    asked, num_restarts = FORMATS[name], running.replica()["restarts"]
    for fields, _ in asked.bad.values():
        with suppress(Refused):
            asked.send(running.url, asked.path, asked.body(fields, stream=False))
        asked.send(running.url, asked.path, asked.body({}, stream=False))
    running.wait_until_idle()
    replica = running.replica()
    assert (replica["state"], replica["restarts"]) == ("ready", num_restarts)
    assert replica["load"]["num_free_blocks"] == replica["ready"]["num_blocks"]
