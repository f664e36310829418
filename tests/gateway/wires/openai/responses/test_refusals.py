"""Requests for responses that are refused by name, and what is accepted though it asks for nothing."""

from typing import Any

import httpx
import msgspec
import pytest

from llmos.gateway.wires.openai.responses.answers import ResponseItems
from support.fake_backend import FakeModel
from support.thinking_answer import ADD

pytestmark = pytest.mark.shared_gateway

PATH = "/v1/responses"
ASKED: dict[str, Any] = {"model": "dialogue", "input": "Hello"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": '{"a":1}'}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "2"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"input": ""}, "input", "empty"),
        ({"input": []}, "input", "empty"),
        ({"input": 7}, "input", "number|int"),
        ({"input": [7]}, "input[0]", "object"),
        ({"input": [{"role": "narrator", "content": "x"}]}, "input[0].role", "narrator"),
        ({"input": [{"role": "user"}]}, "input[0].content", "missing"),
        ({"input": [{"role": "user", "content": "x", "nam": "y"}]}, "input[0].nam", "no field"),
        ({"input": [{"type": "web_search_call"}]}, "input[0].type", "function_call_output"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type", "previous_response_id"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input[0].content[0].type",
            "text only",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]},
            "input[0].content[0].type",
            "input_text",
        ),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text", "missing"),
        ({"input": [RESULT]}, "input[0].call_id", "no such call"),
        ({"input": [CALL, {"role": "user", "content": "x"}]}, "input[0]", "no result"),
        ({"input": [CALL, RESULT, RESULT]}, "input[2]", "call_1"),
        ({"input": [CALL | {"arguments": "[1]"}, RESULT]}, "input[0].arguments", "JSON object"),
        ({"input": [{"type": "custom_tool_call", "call_id": "c"}]}, "input[0].type", "function_call_output"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0].encrypted_content", "replaces"),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice", "no `tools`"),
        ({"tools": [ADD | {"name": "a b"}]}, "tools[0].name", "letters"),
        ({"tools": [ADD, ADD]}, "tools[1].name", "own"),
        ({"tool_choice": "required"}, "tool_choice", "no `tools`"),
        ({"tools": [ADD], "tool_choice": "must"}, "tool_choice", "must"),
        ({"tools": [ADD], "tool_choice": {"type": "function", "name": "ad"}}, "tool_choice.name", "'add'"),
        ({"tools": [ADD], "tool_choice": {"type": "mcp"}}, "tool_choice.type", "only function tools"),
        ({"truncation": "auto"}, "truncation", "silently"),
        ({"background": True}, "background", "stream"),
        ({"conversation": "conv_1"}, "conversation", "previous_response_id"),
        ({"prompt": {"id": "x"}}, "prompt", "instructions"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "xml"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema", "missing"),
        ({"text": {"format": {"type": "text", "schema": {}}}}, "text.format.schema", "json_schema"),
        ({"include": ["thoughts"]}, "include", "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs", "include"),
        ({"top_logprobs": 30}, "top_logprobs", "20"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options", "stream"),
        ({"max_tokens": 5}, "max_tokens", "max_output_tokens"),
        ({"messages": []}, "messages", "input"),
        ({"response_format": {"type": "json_object"}}, "response_format", "text.format"),
        ({"metadata": {str(i): "x" for i in range(17)}}, "metadata", "16"),
        ({"metadata": {"a": 1}}, "metadata[...]", "string"),
        ({"temprature": 1}, "temprature", "temperature"),
        ({"previous_response_id": "resp_0"}, "previous_response_id", "no response"),
    ],
)
async def test_invalid_fields_are_rejected_by_name(
    http: httpx.AsyncClient, model: FakeModel, fields: dict[str, Any], param: str, words: str
) -> None:
    reply = await http.post(PATH, json=ASKED | fields)
    assert reply.status_code == (404 if param == "previous_response_id" else 400), reply.text
    error = reply.json()["error"]
    assert error["param"] == param
    assert any(word in error["message"] for word in words.split("|")), error["message"]
    assert model.requests == []


@pytest.mark.anyio
async def test_neutral_values_of_unsupported_fields_are_accepted(http: httpx.AsyncClient) -> None:
    neutral = {
        "truncation": "disabled", "background": False, "service_tier": "auto", "text": {"format": {"type": "text"}},
        "reasoning": {"effort": None}, "tools": [], "tool_choice": "auto", "include": [], "conversation": None,
        "safety_identifier": "x", "prompt_cache_key": "y",
    }  # fmt: skip
    reply = await http.post(PATH, json=ASKED | neutral)
    assert reply.status_code == 200, reply.text
    assert (reply.json()["safety_identifier"], reply.json()["prompt_cache_key"]) == ("x", "y")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("?include[]=thoughts", "include"),
        ("?starting_after=3", "starting_after"),
        ("/input_items?limit=0", "limit"),
        ("/input_items?limit=1000", "limit"),
        ("/input_items?order=up", "order"),
        ("/input_items?after=msg_0", "after"),
        ("/input_items?before=msg_0", "before"),
    ],
)
async def test_an_invalid_query_parameter_is_rejected_by_name(http: httpx.AsyncClient, query: str, param: str) -> None:
    id = (await http.post(PATH, json=ASKED)).json()["id"]
    reply = await http.get(f"{PATH}/{id}{query}")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


@pytest.mark.thorough
@pytest.mark.anyio
async def test_ten_thousand_items_are_accepted_and_listed(http: httpx.AsyncClient, model: FakeModel) -> None:
    items = [{"role": "user", "content": "x"}] * 10_000
    reply = await http.post(PATH, json=ASKED | {"input": items})
    assert len(model.requests[0].messages or []) == 10_000
    listed = await http.get(f"{PATH}/{reply.json()['id']}/input_items?limit=100")
    assert len(msgspec.json.decode(listed.content, type=ResponseItems).data) == 100
