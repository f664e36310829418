"""Tool calls, their results, and reasoning, through the official client."""

from typing import Any

import ollama
import pytest

from llmos.engine.messages import Delta, ToolCallDelta
from support.scripted import FakePool, FakeRegistry

pytestmark = pytest.mark.shared_gateway

HELLO: Any = [{"role": "user", "content": "Hello"}]
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    },
}


def delta(**fields: Any) -> Delta:
    return Delta(id="any", **fields)


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
