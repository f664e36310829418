"""Anthropic's own client works unchanged: plain and streamed, blocking and asynchronous, with its own error classes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from llmos.core.errors import ModelNotFound, Overloaded, PromptTooLong, ReplicaFailed, Unavailable
from llmos.engine.messages import Delta, Grammar, ToolCallDelta
from llmos.gateway.services import Services
from support.fake_backend import FakeModel, Reached
from support.lazy_modules import LazyModule
from support.scripted import KEY

pytestmark = pytest.mark.shared_gateway

anthropic: Any = LazyModule("anthropic")

HELLO: Any = {"model": "dialogue", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
WEATHER: Any = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def client(served: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=served, api_key=KEY, max_retries=0) as client:
        yield client


def delta(**fields: Any) -> Delta:
    return Delta(id="any", **fields)


def thought_and_called(model: FakeModel) -> None:
    """Thinking, words, and two calls: what an answer may have, cut as steps would."""
    model.enqueue(
        delta(reasoning="Hm", num_output_tokens=1, num_cached_tokens=2),
        delta(reasoning=", the sky.", num_output_tokens=3),
        delta(text="Let me", num_output_tokens=4),
        delta(text=" see.", tool_calls=[ToolCallDelta(0, "call-1", "weather")], num_output_tokens=5),
        delta(tool_calls=[ToolCallDelta(0, arguments='{"city": ')], num_output_tokens=6),
        delta(
            tool_calls=[ToolCallDelta(0, arguments='"Rom"}'), ToolCallDelta(1, "call-2", "weather", "{}")],
            num_output_tokens=9,
        ),
        delta(finish_reason="tool_calls", num_output_tokens=10),
    )


def check_thought_and_called(message: Any) -> None:
    thinking, text, first, second = message.content
    assert (thinking.type, thinking.thinking) == ("thinking", "Hm, the sky.")
    assert (text.type, text.text) == ("text", "Let me see.")
    assert (first.type, first.id, first.name, first.input) == ("tool_use", "call-1", "weather", {"city": "Rom"})
    assert (second.id, second.input) == ("call-2", {})
    assert (message.stop_reason, message.stop_sequence) == ("tool_use", None)
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (3, 2)
    assert message.usage.output_tokens == 10


def test_a_message(client: anthropic.Anthropic, model: FakeModel) -> None:
    message = client.messages.create(
        **HELLO,
        system="Be brief.",
        stop_sequences=["END"],
        metadata={"user_id": "u"},
        service_tier="auto",
        extra_body={"temperature": 0.5, "top_k": 3, "top_p": 0.9},  # older clients have them as arguments
    )
    assert [block.text for block in message.content if block.type == "text"] == ["Hello"]
    assert (message.type, message.role, message.model) == ("message", "assistant", "smollm2@1")
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (5, 3)
    assert (message._request_id or "").startswith("req-")
    [request] = model.requests
    assert request.messages == [{"role": "system", "content": "Be brief."}, *HELLO["messages"]]
    assert request.caller == "owner\nu"
    sampling = request.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_k, sampling.top_p) == (100, 0.5, 3, 0.9)
    assert sampling.stop == ["END"]


@pytest.mark.parametrize(
    ("fields", "thinks"),
    [({}, False), ({"thinking": {"type": "disabled"}}, False), ({"thinking": {"type": "adaptive"}}, True)],
)
def test_thinking_is_on_only_if_requested(
    client: anthropic.Anthropic, model: FakeModel, fields: Any, thinks: bool
) -> None:
    client.messages.create(**HELLO, **fields)
    assert model.requests[0].template_options == {"enable_thinking": thinks}


def test_thinking_text_and_calls_are_blocks(client: anthropic.Anthropic, model: FakeModel) -> None:
    thought_and_called(model)
    message = client.messages.create(**HELLO, tools=[WEATHER], thinking={"type": "adaptive"})
    check_thought_and_called(message)
    [request] = model.requests
    assert request.template_options["enable_thinking"] is True


def test_a_streamed_message(client: anthropic.Anthropic, model: FakeModel) -> None:
    thought_and_called(model)
    events = list(client.messages.create(**HELLO, tools=[WEATHER], stream=True))
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    blocks = [(event.index, event.content_block.type) for event in events if event.type == "content_block_start"]
    assert blocks == [(0, "thinking"), (1, "text"), (2, "tool_use"), (3, "tool_use")]
    assert [event.index for event in events if event.type == "content_block_stop"] == [0, 1, 2, 3]


def test_the_clients_own_assembly_of_a_stream(client: anthropic.Anthropic, model: FakeModel) -> None:
    thought_and_called(model)
    with client.messages.stream(**HELLO, tools=[WEATHER]) as stream:
        texts = list(stream.text_stream)
        check_thought_and_called(stream.get_final_message())
    assert texts == ["Let me", " see."]


def test_the_same_answer_plain_and_streamed(client: anthropic.Anthropic) -> None:
    plain = client.messages.create(**HELLO)
    with client.messages.stream(**HELLO) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].to_dict()["text"] == plain.content[0].to_dict()["text"] == "Hello"
    for message in (plain, streamed):
        assert message.usage.input_tokens == 5
        assert message.usage.output_tokens == 3


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("last", "stop_reason", "stop_sequence"),
    [
        ({"finish_reason": "stop", "num_output_tokens": 4}, "end_turn", None),
        ({"finish_reason": "stop", "stop_reason": 2, "num_output_tokens": 4}, "end_turn", None),
        ({"finish_reason": "stop", "stop_reason": "END", "num_output_tokens": 4}, "stop_sequence", "END"),
        ({"finish_reason": "length", "num_output_tokens": 100}, "max_tokens", None),
        ({"finish_reason": "length", "num_output_tokens": 99}, "model_context_window_exceeded", None),
    ],
)
def test_stop_reasons(
    client: anthropic.Anthropic, model: FakeModel, stream: bool, last: Any, stop_reason: str, stop_sequence: str | None
) -> None:
    model.enqueue("Hi", delta(**last))
    if stream:
        with client.messages.stream(**HELLO) as streaming:
            message: Any = streaming.get_final_message()
    else:
        message = client.messages.create(**HELLO)
    assert (message.stop_reason, message.stop_sequence) == (stop_reason, stop_sequence)


@pytest.mark.parametrize("stream", [False, True])
def test_an_empty_answer(client: anthropic.Anthropic, model: FakeModel, stream: bool) -> None:
    model.enqueue(delta(finish_reason="stop", num_output_tokens=1))
    if stream:
        with client.messages.stream(**HELLO) as streaming:
            message: Any = streaming.get_final_message()
    else:
        message = client.messages.create(**HELLO)
    assert message.content == []
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 1)


def test_a_tool_call_cut_by_max_tokens_has_no_input(client: anthropic.Anthropic, model: FakeModel) -> None:
    model.enqueue(
        delta(tool_calls=[ToolCallDelta(0, "call-1", "weather", '{"city": "R')], num_output_tokens=99),
        delta(finish_reason="length", num_output_tokens=100),
    )
    message = client.messages.create(**HELLO, tools=[WEATHER])
    assert message.stop_reason == "max_tokens"
    assert message.content[0].to_dict()["input"] == {}


def test_a_whole_conversation_with_tools(client: anthropic.Anthropic, model: FakeModel) -> None:
    turns: Any = [
        {"role": "user", "content": [{"type": "text", "text": "Rome?", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm", "signature": ""},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "call-1", "name": "weather", "input": {"city": "Rome", "days": 2**40}},
                {"type": "tool_use", "id": "call-2", "name": "weather", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call-2", "content": "which city?", "is_error": True},
                {"type": "tool_result", "tool_use_id": "call-1", "content": [{"type": "text", "text": "Sun."}]},
                {"type": "text", "text": "And tomorrow?"},
            ],
        },
        {"role": "user", "content": "In short."},
    ]
    client.messages.create(
        **HELLO | {"messages": turns},
        system=[{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}],
        tools=[WEATHER],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    )
    [request] = model.requests
    calls = [
        {
            "id": "call-1",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city":"Rome","days":1099511627776}'},
        },
        {"id": "call-2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
    ]
    assert request.messages == [
        {"role": "system", "content": "Be\nbrief."},
        {"role": "user", "content": "Rome?"},
        {"role": "assistant", "content": "Let me see.", "reasoning_content": "Hm", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call-2", "content": "Error: which city?"},
        {"role": "tool", "tool_call_id": "call-1", "content": "Sun."},
        {"role": "user", "content": "And tomorrow?\nIn short."},
    ]
    assert request.tools is not None
    assert (request.tools.choice, request.tools.is_parallel) == ("required", False)
    [function] = request.tools.functions
    assert function == {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": WEATHER["input_schema"],
        "strict": False,
    }
    assert not request.continue_final_message


@pytest.mark.parametrize(
    ("choice", "spelled", "name"),
    [
        ({"type": "auto"}, "auto", None),
        ({"type": "any"}, "required", None),
        ({"type": "none"}, "none", None),
        ({"type": "tool", "name": "weather"}, "named", "weather"),
    ],
)
def test_the_choice_of_tools(
    client: anthropic.Anthropic, model: FakeModel, choice: Any, spelled: str, name: str | None
) -> None:
    client.messages.create(**HELLO, tools=[WEATHER], tool_choice=choice)
    tools = model.requests[0].tools
    assert tools is not None
    assert (tools.choice, tools.name, tools.is_parallel) == (spelled, name, True)


def test_an_answer_continues_the_assistants_last_message(client: anthropic.Anthropic, model: FakeModel) -> None:
    turns: Any = [*HELLO["messages"], {"role": "assistant", "content": "The answer is ("}]
    client.messages.create(**HELLO | {"messages": turns})
    assert model.requests[0].continue_final_message
    assert model.requests[0].messages == turns


def test_an_answer_follows_a_schema(client: anthropic.Anthropic, model: FakeModel) -> None:
    schema = {"type": "object"}
    client.messages.create(**HELLO, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert model.requests[0].grammar == Grammar("json_schema", '{"type":"object"}', "output_config.format")


def test_more_tokens_than_the_context_has_are_no_error(client: anthropic.Anthropic, model: FakeModel) -> None:
    client.messages.create(**HELLO | {"max_tokens": 20_000})
    assert model.requests[0].sampling.may_exceed_context


def test_counting_computes_nothing(client: anthropic.Anthropic, model: FakeModel) -> None:
    counted = client.messages.count_tokens(
        model="dialogue", system="Be brief.", messages=HELLO["messages"], tools=[WEATHER]
    )
    assert counted.input_tokens == 5
    assert model.requests == []
    [request] = model.counted
    assert request.messages == [{"role": "system", "content": "Be brief."}, *HELLO["messages"]]
    assert request.tools is not None


@pytest.mark.own_gateway
def test_counting_waits_in_the_same_queue(client: anthropic.Anthropic, model: FakeModel, services: Services) -> None:
    model.enqueue(PromptTooLong("The prompt has more than 9,000 tokens.", param="messages"))
    with pytest.raises(anthropic.BadRequestError, match="9,000"):
        client.messages.count_tokens(model="dialogue", messages=HELLO["messages"])
    client.messages.count_tokens(model="dialogue", messages=HELLO["messages"])
    calls = services.call_counts.of("smollm2@1")
    assert (calls.accepted, calls.answered, calls.failed) == (2, 1, 1)


def test_the_models(client: anthropic.Anthropic) -> None:
    assert [model.id for model in client.models.list()] == ["dialogue", "smollm2"]
    assert [model.id for model in client.models.list(limit=1)] == ["dialogue", "smollm2"]
    assert [model.id for model in client.models.list(before_id="smollm2")] == ["dialogue"]
    first = client.models.list(limit=1)
    assert (first.has_more, first.last_id) == (True, "dialogue")
    model = client.models.retrieve("dialogue")
    assert (model.id, model.display_name, model.max_input_tokens) == ("dialogue", "smollm2@1", 8192)
    assert model.created_at.year == 2026
    for wrong in ({"limit": 0}, {"after_id": "nobody"}):
        with pytest.raises(anthropic.BadRequestError):
            client.models.list(**wrong)


@pytest.mark.anyio
async def test_the_asynchronous_client(served: str, model: FakeModel) -> None:
    async with anthropic.AsyncAnthropic(base_url=served, api_key=KEY) as client:
        message = await client.messages.create(**HELLO)
        assert message.content[0].to_dict()["text"] == "Hello"
        stream = await client.messages.create(**HELLO, stream=True)
        assert [event.type async for event in stream][-1] == "message_stop"
        thought_and_called(model)
        async with client.messages.stream(**HELLO, tools=[WEATHER]) as streaming:
            check_thought_and_called(await streaming.get_final_message())
        assert (await client.messages.count_tokens(model="dialogue", messages=HELLO["messages"])).input_tokens == 5
        assert [model.id async for model in client.models.list()] == ["dialogue", "smollm2"]


def refused(error: anthropic.APIStatusError, status: int, kind: str) -> str:
    assert error.status_code == status
    assert error.type == kind
    assert (error.request_id or "").startswith("req-")
    assert isinstance(error.body, dict)
    assert error.body["request_id"] == error.request_id
    return error.api_message or ""


def test_a_wrong_key_raises_the_clients_authentication_error(served: str) -> None:
    with anthropic.Anthropic(base_url=served, api_key="wrong") as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            client.messages.create(**HELLO)
        assert "LLMOS_HOME/keys/owner" in refused(caught.value, 401, "authentication_error")
        with pytest.raises(anthropic.AuthenticationError):
            client.models.list()


@pytest.mark.parametrize(
    ("raised", "expected", "status", "kind"),
    [
        (ModelNotFound("There is no such model."), "NotFoundError", 404, "not_found_error"),
        (PromptTooLong("Too long."), "BadRequestError", 400, "invalid_request_error"),
        (Overloaded("Try again.", retry_after_seconds=3), "RateLimitError", 429, "rate_limit_error"),
        (ReplicaFailed("The process died."), "InternalServerError", 502, "api_error"),
        (Unavailable("It is stopped."), "ServiceUnavailableError", 503, "overloaded_error"),
        (RuntimeError("a bug"), "InternalServerError", 500, "api_error"),
    ],
)
def test_errors_raise_the_clients_own_classes(
    client: anthropic.Anthropic, model: FakeModel, raised: Exception, expected: str, status: int, kind: str
) -> None:
    model.enqueue(raised)
    with pytest.raises(getattr(anthropic, expected)) as caught:
        client.messages.create(**HELLO)
    assert refused(caught.value, status, kind)


def test_an_unknown_model_or_path_raises_the_clients_not_found_error(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="dialogue"):
        client.messages.create(**HELLO | {"model": "dialog"})
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.models.retrieve("nobody")
    assert "nobody" in refused(caught.value, 404, "not_found_error")
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.batches.list()
    assert "/v1/messages" in refused(caught.value, 404, "not_found_error")


def test_a_body_that_is_too_large_gets_its_error_while_it_is_sent(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(**HELLO | {"messages": [{"role": "user", "content": "x" * 40_000_000}]})
    assert "33,554,432" in refused(caught.value, 413, "request_too_large")


@pytest.mark.own_gateway
def test_a_draining_server_raises_the_clients_unavailable_error(
    client: anthropic.Anthropic, services: Services
) -> None:
    services.readiness.is_draining = True
    with pytest.raises(anthropic.ServiceUnavailableError) as caught:
        client.messages.create(**HELLO)
    assert "shutting down" in refused(caught.value, 503, "overloaded_error")


@pytest.mark.parametrize("raised", [ReplicaFailed("The process died."), RuntimeError("a bug")])
def test_an_error_in_a_stream_raises_the_clients_api_error(
    client: anthropic.Anthropic, model: FakeModel, raised: Exception
) -> None:
    model.enqueue("Hel", raised)
    stream = client.messages.create(**HELLO, stream=True)
    texts = []

    def read() -> None:
        for event in stream:
            if event.type == "content_block_delta":
                texts.append(event.delta.to_dict()["text"])

    with pytest.raises(anthropic.APIStatusError) as caught:
        read()
    assert texts == ["Hel"]
    assert caught.value.type == "api_error"
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["request_id"] == caught.value.request_id


def test_closing_a_stream_stops_the_call(client: anthropic.Anthropic, model: FakeModel) -> None:
    model.enqueue("Hel", model.never)
    stream = client.messages.create(**HELLO, stream=True)
    next(iter(stream))
    stream.close()
    assert model.was_closed_early.wait(10)
    assert model.closed_early == [model.requests[0].id]


@pytest.mark.own_gateway
@pytest.mark.anyio
@pytest.mark.parametrize("counting", [False, True])
async def test_hanging_up_before_the_first_token_stops_the_call(
    served: str, model: FakeModel, services: Services, counting: bool
) -> None:
    reached = Reached()
    model.enqueue(reached, model.never)
    async with anthropic.AsyncAnthropic(base_url=served, api_key=KEY) as client:
        messages = HELLO["messages"]
        call = client.messages.count_tokens(model="dialogue", messages=messages) if counting else create(client)
        asked = asyncio.create_task(call)
        await reached.told()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await asyncio.to_thread(model.was_closed_early.wait, 60)
        await client.models.list()  # the server's loop has come around
    assert services.call_counts.of("smollm2@1").cancelled == 1


async def create(client: anthropic.AsyncAnthropic) -> Any:
    return await client.messages.create(**HELLO)


USER: Any = {"role": "user", "content": "Hello"}
CALL: Any = {"type": "tool_use", "id": "call-1", "name": "weather", "input": {}}
RESULT: Any = {"type": "tool_result", "tool_use_id": "call-1", "content": "Sun."}


def test_the_results_of_calls_come_right_behind_them(client: anthropic.Anthropic, model: FakeModel) -> None:
    reminder = {"type": "text", "text": "Be brief."}
    said = {"role": "assistant", "content": [CALL]}
    for between in ([{"role": "system", "content": "Be brief."}], [{"role": "user", "content": [reminder]}]):
        messages = [USER, said, *between, {"role": "user", "content": [reminder, RESULT]}]
        client.messages.create(**HELLO, extra_body={"messages": messages, "tools": [WEATHER]})
    first, second = ([message["role"] for message in request.messages or []] for request in model.requests)
    assert first == ["user", "assistant", "tool", "user", "system"]
    assert second == ["user", "assistant", "tool", "user"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"messages": []}, "empty"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "accepts user or assistant"),
        ({"messages": [{"role": "user", "content": 7}]}, r"messages\[0\].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "text only"),
        ({"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]}, "in a text block"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "text, thinking, tool_use"),
        ({"messages": [{"role": "user", "content": [CALL]}]}, "only assistant messages"),
        ({"messages": [USER, {"role": "assistant", "content": [RESULT]}]}, "only user messages"),
        ({"messages": [{"role": "user", "content": [RESULT]}]}, "no call before it"),
        ({"messages": [USER, {"role": "assistant", "content": [CALL]}]}, "without a result"),
        ({"messages": [USER, {"role": "assistant", "content": [CALL]}, USER]}, "without a result"),
        ({"messages": [USER, {"role": "assistant", "content": [CALL, CALL]}]}, "like that of another call"),
        ({"temperature": 1.5}, "<= 1"),
        ({"max_tokens": None}, "`max_tokens` is missing"),
        ({"tool_choice": {"type": "any"}}, "no `tools`"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "wether"}}, "not one of the tools: weather"),
        ({"tools": [WEATHER, WEATHER]}, "Give every tool its own"),
        ({"tools": [WEATHER | {"name": "a b"}]}, r"tools\[0\].name"),
        ({"tools": [WEATHER | {"input_schema": {"type": "array"}}]}, r"tools\[0\].input_schema.type"),
        ({"tools": [WEATHER | {"name": f"f{i}"} for i in range(129)]}, "at most 128"),
        (
            {
                "tools": [{"type": "web_search_20250305", "name": "search"}],
                "tool_choice": {"type": "tool", "name": "search"},
            },
            "no `tools`",
        ),
        ({"thinking": {"type": "between_tools"}}, "on or off"),
        ({"container": "c"}, "does not run code"),
        ({"stop": ["x"]}, "`stop_sequences`"),
        ({"max_token": 3}, "`max_tokens`"),
        ({"user": "a", "metadata": {"user_id": "b"}}, "send one of them"),
    ],
)
def test_invalid_fields_are_rejected_by_name(
    client: anthropic.Anthropic, model: FakeModel, fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=reason) as caught:
        client.messages.create(**HELLO, extra_body=fields)
    refused(caught.value, 400, "invalid_request_error")
    assert model.requests == []
