"""Conversations are checked in the same way for every wire format."""

import re
from typing import Any

import pytest

from llmos.core.errors import BadRequest
from llmos.gateway.calls.conversation import check_arguments, check_conversation, check_functions

USER = {"role": "user", "content": "What is the weather?"}


def call(id: str = "call_1", name: str = "weather", arguments: Any = None) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments or "{}"}}


def asks(*calls: dict[str, Any], content: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": [*calls]}


def result(id: str = "call_1") -> dict[str, Any]:
    return {"role": "tool", "content": "sunny", "tool_call_id": id}


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        [{"role": "system", "content": ""}, USER, {"role": "assistant", "content": ""}, USER],
        [USER, asks(call(arguments='{"city": "Rome"}')), result()],
        [USER, asks(call("a"), call("b"), content="Let me see."), result("b"), result("a"), USER],
        [USER, {"role": "assistant"}, {"role": "assistant", "content": None}, USER],
        # A call that was cut off can have a result, but nobody could run it.
        [USER, asks(call(arguments='{"city": "Ro')), result()],
        [USER, asks(call("a", arguments='{"city"'), call("b")), result("b"), USER],
        # An id may come again in a later turn: some programs count them from 1 in each.
        [USER, asks(call()), result(), asks(call()), result()],
        [USER, {"role": "assistant", "content": "4", "reasoning_content": "2 + 2"}, {**USER, "name": "ann"}],
    ],
)
def test_a_conversation(messages: list[dict[str, Any]]) -> None:
    check_conversation(messages)


@pytest.mark.parametrize(
    ("messages", "param", "message"),
    [
        ([], "messages", "empty"),
        ([{"role": "wizard", "content": "x"}], "messages[0].role", "'wizard'; it takes system, user, assistant or"),
        ([{"content": "x"}], "messages[0].role", "None"),
        ([{"role": ["user"], "content": "x"}], "messages[0].role", "takes system"),
        ([USER, {"role": "user"}], "messages[1].content", "is missing"),
        ([{"role": "user", "content": 5}], "messages[0].content", "must be a string"),
        ([{**USER, "name": 5}], "messages[0].name", "must be a string"),
        ([USER, {"role": "assistant", "content": 5}], "messages[1].content", "must be a string"),
        ([USER, {"role": "assistant", "content": "x", "reasoning_content": 5}], "messages[1].reasoning_content", "str"),
        ([{**USER, "tool_calls": [call()]}], "messages[0].tool_calls", "only an assistant calls"),
        ([USER, {**asks(), "tool_calls": {"id": "a"}}], "messages[1].tool_calls", "array"),
        ([USER, asks({"id": "a"})], "messages[1].tool_calls[0].function", "missing"),
        ([USER, asks({**call(), "type": "custom"})], "messages[1].tool_calls[0].type", "'custom'"),
        ([USER, asks({**call(), "id": ""})], "messages[1].tool_calls[0].id", "result names it"),
        ([USER, asks(call(name=""))], "messages[1].tool_calls[0].function.name", "which function"),
        ([USER, asks(call(arguments={"city": "Rome"}))], "messages[1].tool_calls[0].function.arguments", "JSON object"),
        ([USER, asks(call(), call())], "messages[1].tool_calls[1].id", "like that of messages[1].tool_calls[0]"),
        ([USER, asks(call())], "messages[1].tool_calls[0]", "has no result"),
        ([USER, asks(call("a"), call("b")), result("a"), USER], "messages[1].tool_calls[1]", "'b'"),
        ([USER, result()], "messages[1].tool_call_id", "Before it comes"),
        ([USER, asks(call("a")), result("b")], "messages[2].tool_call_id", "wait for a result are 'a'"),
        ([USER, asks(call()), result(), result()], "messages[3].tool_call_id", "its result already"),
        ([USER, asks(call()), result(), USER, result()], "messages[4].tool_call_id", "no such call"),
        ([USER, asks(call()), {"role": "tool", "content": "x"}], "messages[2].tool_call_id", "missing"),
        ([USER, asks(call()), {**result(), "content": None}], "messages[2].content", "what the tool gave back"),
    ],
)  # fmt: skip
def test_invalid_conversations_are_rejected(messages: list[dict[str, Any]], param: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_conversation(messages)
    assert caught.value.param == param
    assert f"`{param}`" in caught.value.message
    assert message in caught.value.message


def test_a_format_may_go_without_some_results() -> None:
    check_conversation([USER, asks(call("a"), call("b")), result("a"), USER], needs_every_result=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": [1, 2.5, "é"], "b": null}', '{"a": [1, 2.5, "é"], "b": null}'),
        ("", "{}"),
        ('{"a": 31415926535897932384626433832795}', '{"a": 31415926535897932384626433832795}'),
        ('{"a": "Rom', '{"a": "Rom'),
    ],
)
def test_arguments_stay_as_the_model_wrote_them(text: str, expected: str) -> None:
    assert check_arguments(text, "p") == expected


@pytest.mark.parametrize(
    ("text", "message"), [("[1]", "must be a JSON object"), ('{"a": ' + "[" * 100_000, "nested too deeply")]
)
def test_arguments_that_are_none(text: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        check_arguments(text, "messages[1].tool_calls[0].function.arguments")
    assert caught.value.param == "messages[1].tool_calls[0].function.arguments"


@pytest.mark.parametrize(
    ("functions", "param", "message"),
    [
        ([{}], "tools[0].function.name", "missing"),
        ([{"name": "a.b"}], "tools[0].function.name", "letters"),
        ([{"name": "x" * 65}], "tools[0].function.name", "1 to 64"),
        ([{"name": "f"}, {"name": "f"}], "tools[1].function.name", "like that of tools[0].function"),
        ([{"name": "f", "description": 1}], "tools[0].function.description", "string"),
        ([{"name": "f", "parameters": []}], "tools[0].function.parameters", "object"),
        ([{"name": "f", "parameters": {"type": "array"}}], "tools[0].function.parameters.type", "'array'"),
        ([{"name": f"f{i}"} for i in range(129)], "tools", "at most 128"),
    ],
)
def test_functions_that_cannot_be_called(functions: list[dict[str, Any]], param: str, message: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(message)) as caught:
        check_functions(functions)
    assert caught.value.param == param


def test_functions() -> None:
    check_functions([{"name": "get_weather-2", "description": "x", "parameters": {"type": "object"}}, {"name": "g"}])
    check_functions([{"name": "f", "parameters": None}, {"name": "g", "parameters": {"type": None, "maximum": 10**30}}])
    check_functions(
        [{"name": "f", "parameters": {"type": "OBJECT"}}, {"name": "g", "parameters": {"type": ["object", "null"]}}]
    )
    with pytest.raises(BadRequest) as caught:
        check_functions([{"name": ""}], "tools[{}]")
    assert caught.value.param == "tools[0].name"
