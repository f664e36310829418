"""Tools through the official client: the definitions reach the engine, and calls come back complete and streamed."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamEvent

from llmos.engine.messages import Delta, ToolCallDelta
from support.fake_backend import FakeModel, token
from support.scripted import KEY

pytestmark = pytest.mark.shared_gateway

ASK: Any = [{"role": "user", "content": "What is the weather in Rome?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "default": None}}, "required": ["city"]}
WEATHER: Any = {"type": "function", "function": {"name": "weather", "description": "Now.", "parameters": SCHEMA}}
CLOCK: Any = {"type": "function", "function": {"name": "clock"}}


def calls(*deltas: ToolCallDelta, num: int = 1, **more: Any) -> Delta:
    return Delta(id="any", tool_calls=[*deltas], num_output_tokens=num, **more)


ROME = [
    Delta(id="any", num_output_tokens=1),
    calls(ToolCallDelta(0, "call_a", "weather", '{"city"'), num=2),
    calls(ToolCallDelta(0, arguments=': "Rome"}'), ToolCallDelta(1, "call_b", "clock", "{}"), num=3),
    Delta(id="any", finish_reason="tool_calls", num_output_tokens=4),
]


@pytest.fixture
def client(served: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def create(client: openai.OpenAI, **fields: Any) -> Any:
    return client.chat.completions.create(**{"model": "dialogue", "messages": ASK, "tools": [WEATHER, CLOCK], **fields})


def test_calls_come_back_parsed(client: openai.OpenAI, model: FakeModel) -> None:
    model.enqueue(*ROME)
    completion = create(client)
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert [
        (call.id, call.type, call.function.name, call.function.arguments) for call in choice.message.tool_calls
    ] == [
        ("call_a", "function", "weather", '{"city": "Rome"}'),
        ("call_b", "function", "clock", "{}"),
    ]
    assert completion.usage.completion_tokens == 4


def test_a_streams_deltas_are_as_openai_has_them(client: openai.OpenAI, model: FakeModel) -> None:
    model.enqueue(*ROME)
    chunks = [chunk.choices[0] for chunk in create(client, stream=True)]
    assert [chunk.delta.model_dump(exclude_unset=True) for chunk in chunks] == [
        {"role": "assistant", "content": None},
        {"tool_calls": [
            {"index": 0, "id": "call_a", "type": "function", "function": {"name": "weather", "arguments": '{"city"'}},
        ]},
        {"tool_calls": [
            {"index": 0, "function": {"arguments": ': "Rome"}'}},
            {"index": 1, "id": "call_b", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
        ]},
        {},
    ]  # fmt: skip
    assert [chunk.finish_reason for chunk in chunks] == [None, None, None, "tool_calls"]


def test_the_clients_own_assembly_of_a_stream(client: openai.OpenAI, model: FakeModel) -> None:
    model.enqueue(Delta(id="any", text="Let me see.", num_output_tokens=1), *ROME[1:])
    strict: Any = {**WEATHER["function"], "strict": True}
    events: list[ChatCompletionStreamEvent[Any]] = []
    with client.chat.completions.stream(
        model="dialogue", messages=ASK, tools=[{"type": "function", "function": strict}, CLOCK]
    ) as stream:
        events += stream
        message = stream.get_final_completion().choices[0].message
    assert message.content == "Let me see."
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.parsed_arguments == {"city": "Rome"}
    assert [e.name for e in events if e.type == "tool_calls.function.arguments.done"] == ["weather", "clock"]


@pytest.mark.anyio
async def test_the_asynchronous_client(served: str, model: FakeModel) -> None:
    model.enqueue(*ROME)
    model.enqueue(*ROME)
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=KEY, max_retries=0) as client:
        completion = await client.chat.completions.create(model="dialogue", messages=ASK, tools=[WEATHER, CLOCK])
        assert completion.choices[0].message.tool_calls is not None
        assert len(completion.choices[0].message.tool_calls) == 2
        stream = await client.chat.completions.create(
            model="dialogue", messages=ASK, tools=[WEATHER, CLOCK], stream=True
        )
        pieces = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]
        assert "".join(call.function.arguments or "" for call in pieces if call.function) == '{"city": "Rome"}{}'


def test_what_reaches_the_engine(client: openai.OpenAI, model: FakeModel) -> None:
    create(client, parallel_tool_calls=False)
    [tools] = [request.tools for request in model.requests]
    assert tools is not None
    assert (tools.choice, tools.name, tools.is_parallel) == ("auto", None, False)
    assert tools.functions == [
        {"name": "weather", "description": "Now.", "parameters": SCHEMA, "strict": False},
        {"name": "clock", "parameters": {"type": "object", "properties": {}}, "strict": False},
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ("auto", None)),
        ("required", ("required", None)),
        ("none", ("none", None)),
        ({"type": "function", "function": {"name": "clock"}}, ("named", "clock")),
    ],
)
def test_the_choice_of_tools(client: openai.OpenAI, model: FakeModel, choice: Any, expected: Any) -> None:
    create(client, tool_choice=choice)
    tools = model.requests[0].tools
    assert tools is not None
    assert (tools.choice, tools.name) == expected


def test_a_call_and_its_result_go_back_in_as_they_came_out(client: openai.OpenAI, model: FakeModel) -> None:
    model.enqueue(*ROME)
    message = create(client).choices[0].message
    results: Any = [
        {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"is": i})}
        for i, call in enumerate(message.tool_calls)
    ]
    create(client, messages=[*ASK, message, *results])
    assert model.requests[1].messages == [
        *ASK,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}},
                {"id": "call_b", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": '{"is": 0}', "tool_call_id": "call_a"},
        {"role": "tool", "content": '{"is": 1}', "tool_call_id": "call_b"},
    ]


def test_logprobs_are_of_all_tokens_that_the_model_wrote(client: openai.OpenAI, model: FakeModel) -> None:
    def script() -> list[Delta]:
        return [
            Delta(id="any", num_output_tokens=1, logprobs=[token("<tool_call>")]),
            calls(ToolCallDelta(0, "call_a", "clock", "{}"), num=2, logprobs=[token('{"name"'), token("}")]),
            Delta(id="any", finish_reason="tool_calls", num_output_tokens=3),
        ]

    model.enqueue(*script())
    model.enqueue(*script())
    expected = ["<tool_call>", '{"name"', "}"]
    completion = create(client, logprobs=True)
    assert [entry.token for entry in completion.choices[0].logprobs.content] == expected
    chunks = [chunk.choices[0] for chunk in create(client, logprobs=True, stream=True)]
    assert [entry.token for chunk in chunks if chunk.logprobs for entry in chunk.logprobs.content] == expected


def test_reasoning_comes_beside_the_answer(client: openai.OpenAI, model: FakeModel) -> None:
    deltas = [Delta(id="any", reasoning="Hm.", num_output_tokens=1), Delta(id="any", text="Yes", num_output_tokens=2)]
    model.enqueue(*deltas)
    model.enqueue(*deltas)
    message = create(client, tools=[], reasoning_effort="low").choices[0].message
    assert (message.reasoning_content, message.content) == ("Hm.", "Yes")
    assert model.requests[0].template_options == {"reasoning_effort": "low"}
    chunks = [chunk.choices[0].delta for chunk in create(client, tools=[], stream=True)]
    assert [getattr(delta, "reasoning_content", "") for delta in chunks] == ["", "Hm.", "", ""]
    create(client, messages=[*ASK, message, *ASK], extra_body={"chat_template_kwargs": {"enable_thinking": False}})
    assert model.requests[-1].messages is not None
    assert model.requests[-1].messages[1]["reasoning_content"] == "Hm."
    assert model.requests[-1].template_options == {"enable_thinking": False}


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"tool_choice": {"type": "custom", "custom": {"name": "f"}}}, "tool_choice.custom", "only function tools"),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice", "no `tools`"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name", "letters"),
        ({"tools": [CLOCK, CLOCK]}, "tools[1].function.name", "its own"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice", "no `tools`"),
        ({"tool_choice": "any"}, "tool_choice", "'any'"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}, "tool_choice.allowed_tools", "those tools"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function", "missing"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "wether"}}},
            "tool_choice.function.name",
            "Did you mean 'weather'?",
        ),
        ({"messages": [*ASK, {"role": "tool", "content": "", "tool_call_id": "c"}]}, "messages[1].tool_call_id", "no"),
        (
            {"messages": [*ASK, {"role": "assistant", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "[1]"}}]}]},
            "messages[1].tool_calls[0].function.arguments",
            "JSON object",
        ),
        ({"reasoning_effort": "hard"}, "reasoning_effort", "it accepts high, low"),
    ],
)  # fmt: skip
def test_invalid_fields_are_rejected_by_name(
    client: openai.OpenAI, fields: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, **fields)
    assert caught.value.param == param
    assert message in caught.value.message
