"""Anthropic's and Triton's clients against the real server and model: the reported counts are the computed ones."""

from typing import Any

import anthropic
import numpy as np
import pytest
import tritonclient.http as triton

from support.real_server import KEY, Running

pytestmark = pytest.mark.process

HELLO: Any = {
    "model": "dialogue",
    "max_tokens": 24,
    "system": "You are brief.",
    "messages": [{"role": "user", "content": "Name three colours of the rainbow."}],
}
GREEDY: Any = {"extra_body": {"temperature": 0}}
WEATHER: Any = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
    },
}


@pytest.fixture
def client(running: Running) -> Any:
    with anthropic.Anthropic(base_url=running.url, api_key=KEY, max_retries=0, timeout=120) as client:
        yield client


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_plain_streamed_and_counted_are_the_same(client: anthropic.Anthropic) -> None:
    plain = client.messages.create(**HELLO, **GREEDY)
    with client.messages.stream(**HELLO, **GREEDY) as stream:
        streamed = stream.get_final_message()
    assert text_of(plain) == text_of(streamed) != ""
    asked = {name: value for name, value in HELLO.items() if name != "max_tokens"}
    num_prompt = client.messages.count_tokens(**asked).input_tokens
    for message in (plain, streamed):
        usage = message.usage
        assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == num_prompt
        assert (message.stop_reason, usage.output_tokens) == (plain.stop_reason, plain.usage.output_tokens)
    # The second time all of the prompt's whole blocks were there already.
    assert streamed.usage.cache_read_input_tokens == (num_prompt - 1) // 16 * 16


def test_an_answer_continues_the_assistants_last_message(client: anthropic.Anthropic) -> None:
    whole = text_of(client.messages.create(**HELLO, **GREEDY))
    begun = whole[: whole.index(" ")]
    turns = [*HELLO["messages"], {"role": "assistant", "content": begun}]
    more = text_of(client.messages.create(**HELLO | {"messages": turns}, **GREEDY))
    assert (begun + more)[: len(whole) // 2] == whole[: len(whole) // 2]


def test_max_tokens_beyond_the_context_is_no_error(client: anthropic.Anthropic) -> None:
    stream = client.messages.create(**HELLO | {"max_tokens": 100_000}, stream=True)
    assert next(iter(stream)).type == "message_start"
    stream.close()


def test_a_required_tool_is_called_with_its_schema(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        **HELLO | {"max_tokens": 100}, **GREEDY, tools=[WEATHER], tool_choice={"type": "tool", "name": "weather"}
    )
    [call] = [block for block in message.content if block.type == "tool_use"]
    assert call.name == "weather"
    assert message.stop_reason == "tool_use"
    assert isinstance(call.input["city"], str)


def test_hanging_up_stops_the_sequence(client: anthropic.Anthropic, running: Running) -> None:
    stream = client.messages.create(**HELLO | {"max_tokens": 4000}, stream=True)
    next(iter(stream))
    stream.close()
    running.wait_until_idle()


def test_a_tensor_is_continued_like_any_text(running: Running) -> None:
    text = "The sky is"
    with running.openai() as client, triton.InferenceServerClient(running.url.removeprefix("http://")) as tensors:
        plain = client.completions.create(model="smollm2", prompt=text, max_tokens=12, temperature=0)
        given = triton.InferInput("text_input", [1], "BYTES")
        given.set_data_from_numpy(np.array([text], dtype=np.object_))
        answer = tensors.infer(
            "dialogue", [given], "1", headers={"x-api-key": KEY}, parameters={"max_tokens": 12, "temperature": 0}
        )
    assert answer.as_numpy("text_output")[0].decode() == plain.choices[0].text
    assert plain.usage is not None
    assert answer.as_numpy("num_input_tokens")[0] == plain.usage.prompt_tokens
    assert answer.as_numpy("num_output_tokens")[0] == plain.usage.completion_tokens
