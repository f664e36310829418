"""/v1/responses through the official client: complete and streamed, stored and continued, and invalid requests."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import openai
import pytest

from llmos.core.database import Database
from llmos.core.errors import PromptTooLong, ReplicaFailed, StoreFailed
from llmos.data.responses import KeptResponses
from llmos.engine.messages import Delta, Grammar, ToolCallDelta, Tools
from llmos.gateway.app import create_app
from llmos.gateway.services import Services
from llmos.gateway.wires.openai.responses.answers import Response, ResponseEvent, ResponseItems
from llmos.security.callers import owner
from support.databases import KINDS
from support.fake_backend import FakeModel, token
from support.scripted import KEY

PATH = "/v1/responses"
ASKED: dict[str, Any] = {"model": "dialogue", "input": "Hello"}
ADD = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}
CALL = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": '{"a":1}'}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "2"}


@pytest.fixture(scope="module", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def client(served: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def delta(**fields: Any) -> Delta:
    return Delta(id="any", **fields)


def thinking_and_calling(model: FakeModel) -> None:
    model.enqueue(
        delta(reasoning="One and ", num_output_tokens=2),
        delta(reasoning="one.", num_output_tokens=3),
        delta(text="I ", num_output_tokens=4),
        delta(text="add.", num_output_tokens=5),
        delta(tool_calls=[ToolCallDelta(0, "call_1", "add", '{"a"')], num_output_tokens=6),
        delta(tool_calls=[ToolCallDelta(0, arguments=":1}"), ToolCallDelta(1, "call_2", "sub")], num_output_tokens=7),
        delta(tool_calls=[ToolCallDelta(1, arguments="{}")], num_output_tokens=8),
        delta(finish_reason="tool_calls", num_output_tokens=9),
    )


def without_ids(item: Any) -> Any:
    if isinstance(item, list):
        return [without_ids(each) for each in item]
    if isinstance(item, dict):
        return {name: without_ids(value) for name, value in item.items() if name != "id"}
    return item


# One answer


def test_a_response(client: openai.OpenAI, model: FakeModel) -> None:
    response = client.responses.create(
        model="dialogue", input="Hello", instructions="Be brief.", user="u", metadata={"a": "b"}, temperature=0.5
    )
    assert response.output_text == "Hello"
    assert response.id.startswith("resp_")
    assert (response.status, response.model, response.error) == ("completed", "smollm2@1", None)
    assert (response.instructions, response.metadata, response.temperature) == ("Be brief.", {"a": "b"}, 0.5)
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (5, 3, 8)
    (request,) = model.requests
    assert request.id == response.id
    assert request.messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert request.caller == "owner\nu"


def test_reasoning_text_and_calls_are_output_items(client: openai.OpenAI, model: FakeModel) -> None:
    thinking_and_calling(model)
    response = client.responses.create(model="dialogue", input="1 + 1?")
    kinds = [item.type for item in response.output]
    assert kinds == ["reasoning", "message", "function_call", "function_call"]
    reasoning, message, first, second = response.output
    assert reasoning.type == "reasoning"
    assert reasoning.content is not None
    assert reasoning.content[0].text == "One and one."
    assert message.type == "message"
    assert response.output_text == "I add."
    assert first.type == second.type == "function_call"
    assert (first.call_id, first.name, first.arguments) == ("call_1", "add", '{"a":1}')
    assert (second.call_id, second.name, second.arguments) == ("call_2", "sub", "{}")
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens == 3
    assert response.usage.output_tokens == 9


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_cut_by_the_limit_is_incomplete(client: openai.OpenAI, model: FakeModel, stream: bool) -> None:
    model.enqueue(delta(text="Hel", finish_reason="length", num_output_tokens=1))
    if stream:
        *_, last = client.responses.create(model="dialogue", input="Hello", max_output_tokens=1, stream=True)
        assert last.type == "response.incomplete"
        response = last.response
    else:
        response = client.responses.create(model="dialogue", input="Hello", max_output_tokens=1)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert [item.status for item in response.output if item.type == "message"] == ["incomplete"]
    assert model.requests[0].sampling.max_tokens == 1


def test_an_empty_answer_is_an_empty_message(client: openai.OpenAI, model: FakeModel) -> None:
    model.enqueue(delta(finish_reason="stop", num_output_tokens=1))
    response = client.responses.create(model="dialogue", input="Hello")
    assert [item.type for item in response.output] == ["message"]
    assert response.output_text == ""


def test_logprobs(client: openai.OpenAI, model: FakeModel) -> None:
    for _ in range(2):
        model.enqueue(delta(text="Hi", logprobs=[token("Hi", -0.25, ("Ho", -1.5))], num_output_tokens=1))
    include: Any = ["message.output_text.logprobs"]
    response = client.responses.create(model="dialogue", input="Hello", include=include, top_logprobs=1)
    (message,) = response.output
    assert message.type == "message"
    part = message.content[0]
    assert part.type == "output_text"
    assert part.logprobs is not None
    assert (part.logprobs[0].token, part.logprobs[0].bytes) == ("Hi", [72, 105])
    assert part.logprobs[0].top_logprobs[0].logprob == -1.5
    events = list(client.responses.create(model="dialogue", input="Hello", include=include, stream=True))
    (said,) = [event for event in events if event.type == "response.output_text.delta"]
    assert said.logprobs[0].logprob == -0.25
    assert [request.sampling.logprobs for request in model.requests] == [1, 0]


@pytest.mark.parametrize(
    ("asked", "kind", "grammar"),
    [
        ({"type": "text"}, "text", None),
        ({"type": "json_object"}, "json_object", Grammar("json_object", field="text.format")),
        (
            {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"},
            "json_schema",
            Grammar("json_schema", '{"type":"object"}', "text.format"),
        ),
    ],
)
def test_the_format_of_the_text_is_a_grammar(
    client: openai.OpenAI, model: FakeModel, asked: Any, kind: str, grammar: Grammar | None
) -> None:
    response = client.responses.create(model="dialogue", input="Hello", text={"format": asked})
    assert response.text is not None
    assert response.text.format is not None
    assert response.text.format.type == kind
    assert model.requests[0].grammar == grammar


@pytest.mark.parametrize(
    ("choice", "kind", "name"),
    [(None, "auto", None), ("required", "required", None), ({"type": "function", "name": "add"}, "named", "add")],
)
def test_tools_reach_the_engine(
    client: openai.OpenAI, model: FakeModel, choice: Any, kind: str, name: str | None
) -> None:
    tools: Any = [ADD | {"description": "Adds one", "strict": None}]
    response = client.responses.create(
        model="dialogue", input="1 + 1?", tools=tools, tool_choice=choice or openai.omit, parallel_tool_calls=False
    )
    assert response.tools[0].type == "function"
    assert response.to_dict()["tool_choice"] == (choice or "auto")
    assert not response.parallel_tool_calls
    assert model.requests[0].tools == Tools(
        functions=[{"name": "add", "description": "Adds one", "parameters": ADD["parameters"], "strict": False}],
        choice=kind,  # type: ignore[arg-type]
        name=name,
        is_parallel=False,
    )


# Streams


def test_the_events_of_a_stream(client: openai.OpenAI, model: FakeModel) -> None:
    thinking_and_calling(model)
    events = list(client.responses.create(model="dialogue", input="1 + 1?", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert {event.output_index for event in events if event.type == "response.output_item.done"} == {0, 1, 2, 3}


def test_a_stream_ends_with_the_complete_response(client: openai.OpenAI, model: FakeModel) -> None:
    thinking_and_calling(model)
    plain = client.responses.create(model="dialogue", input="1 + 1?").to_dict()
    thinking_and_calling(model)
    *events, last = client.responses.create(model="dialogue", input="1 + 1?", stream=True)
    assert last.type == "response.completed"
    streamed = last.response.to_dict()
    for response in (plain, streamed):
        del response["created_at"], response["completed_at"]
    assert without_ids(streamed) == without_ids(plain)
    done = [event.item.to_dict() for event in events if event.type == "response.output_item.done"]
    assert done == streamed["output"]


def test_the_clients_own_assembly_of_a_stream(client: openai.OpenAI) -> None:
    with client.responses.stream(model="dialogue", input="Hello") as stream:
        for _ in stream:
            pass
        response = stream.get_final_response()
    assert response.output_text == "Hello"
    assert client.responses.retrieve(response.id).output_text == "Hello"


@pytest.mark.anyio
async def test_the_asynchronous_client(served: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=KEY) as client:
        response = await client.responses.create(model="dialogue", input="Hello")
        assert response.output_text == "Hello"
        stream = await client.responses.create(model="dialogue", input="Hello", stream=True)
        pieces = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        assert "".join(pieces) == "Hello"
        assert (await client.responses.retrieve(response.id)).output_text == "Hello"
        assert [item.type async for item in await client.responses.input_items.list(response.id)] == ["message"]
        await client.responses.delete(response.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(response.id)


def test_an_error_in_a_stream_is_an_event_and_fails_the_response(client: openai.OpenAI, model: FakeModel) -> None:
    model.enqueue("Hel", ReplicaFailed("The process died."))
    *_, told, last = client.responses.create(model="dialogue", input="Hello", stream=True)
    assert told.type == "error"
    assert (told.code, told.message) == ("replica_failed", "The process died.")
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert (last.response.error.code, last.response.error.message) == ("server_error", "The process died.")
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(last.response.id)


def test_an_error_before_the_first_event_keeps_its_status(client: openai.OpenAI, model: FakeModel) -> None:
    model.enqueue(PromptTooLong("The prompt has 9,120 tokens; the model accepts 8,192.", param="input"))
    with pytest.raises(openai.BadRequestError, match="9,120") as caught:
        client.responses.create(model="dialogue", input="Hello", stream=True)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["type"] == "invalid_request_error"


def test_closing_a_stream_stops_the_call_and_stores_nothing(client: openai.OpenAI, model: FakeModel) -> None:
    model.enqueue("Hel", model.never)
    stream = client.responses.create(model="dialogue", input="Hello", stream=True)
    first = next(iter(stream))
    assert first.type == "response.created"
    stream.close()
    assert model.was_closed_early.wait(10)
    assert model.closed_early == [first.response.id]
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.response.id)


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_events_match_their_schema(http: httpx.AsyncClient, model: FakeModel, stream: bool) -> None:
    thinking_and_calling(model)
    reply = await http.post(PATH, json=ASKED | {"stream": stream})
    if not stream:
        assert msgspec.json.decode(reply.content, type=Response).status == "completed"
        return
    assert "[DONE]" not in reply.text
    for event in reply.text.strip().split("\n\n"):
        name, data = event.split("\n")
        described = msgspec.json.decode(data.removeprefix("data: "), type=ResponseEvent)
        assert name == f"event: {described.type}"
        assert set(msgspec.json.decode(data.removeprefix("data: "))) <= set(ResponseEvent.__struct_fields__)


# What is kept


def test_a_stored_response_is_returned_unchanged(client: openai.OpenAI) -> None:
    response = client.responses.create(model="dialogue", input="Hello")
    assert client.responses.retrieve(response.id).to_dict() == response.to_dict()
    events = list(client.responses.create(model="dialogue", input="Hello", stream=True))
    last = events[-1]
    assert last.type == "response.completed"
    assert client.responses.retrieve(last.response.id).to_dict() == last.response.to_dict()


@pytest.mark.anyio
async def test_a_stored_response_survives_a_restart(
    http: httpx.AsyncClient, services: Services, database_url: str
) -> None:
    response = (await http.post(PATH, json=ASKED)).json()
    reopened = Database(database_url)
    restarted = create_app(dataclasses.replace(services, responses=KeptResponses(reopened)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(restarted), base_url="http://llmos") as later:
        reply = await later.get(f"{PATH}/{response['id']}", headers={"x-api-key": KEY})
    reopened.close()
    assert reply.json() == response


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_that_cannot_be_stored_is_an_error(
    http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    def keep(*_: Any) -> None:
        raise StoreFailed("The disk is full.")

    monkeypatch.setattr(KeptResponses, "keep", keep)
    reply = await http.post(PATH, json=ASKED | {"stream": stream})
    assert reply.status_code == (200 if stream else 507)
    assert "store_failed" in reply.text
    assert "response.completed" not in reply.text


def test_a_response_with_store_false_is_not_stored(client: openai.OpenAI) -> None:
    response = client.responses.create(model="dialogue", input="Hello", store=False)
    assert response.output_text == "Hello"
    with pytest.raises(openai.NotFoundError, match="`store` was false") as caught:
        client.responses.retrieve(response.id)
    assert caught.value.code == "not_found"


def test_a_conversation_continues_from_a_stored_response(client: openai.OpenAI, model: FakeModel) -> None:
    first = client.responses.create(model="dialogue", input="Hello", instructions="Be brief.")
    second = client.responses.create(model="dialogue", input="And you?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    model.enqueue("Fine")
    third = client.responses.create(model="dialogue", input="Good.", previous_response_id=second.id)
    assert third.output_text == "Fine"
    # The instructions are for one response only.
    assert model.requests[2].messages == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "And you?"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Good."},
    ]


def test_deleting_a_response_changes_none_that_continue_it(client: openai.OpenAI, model: FakeModel) -> None:
    first = client.responses.create(model="dialogue", input="Hello")
    second = client.responses.create(model="dialogue", input="And you?", previous_response_id=first.id)
    client.responses.delete(first.id)
    client.responses.create(model="dialogue", input="Good.", previous_response_id=second.id)
    assert [message["content"] for message in model.requests[2].messages or []] == [
        "Hello", "Hello", "And you?", "Hello", "Good.",
    ]  # fmt: skip
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="dialogue", input="Hm?", previous_response_id=first.id)
    assert caught.value.param == "previous_response_id"


def test_calls_and_reasoning_round_trip_with_their_results(client: openai.OpenAI, model: FakeModel) -> None:
    thinking_and_calling(model)
    first = client.responses.create(model="dialogue", input="1 + 1?")
    results: Any = [RESULT, {"type": "function_call_output", "call_id": "call_2", "output": "0"}]
    kept = client.responses.create(model="dialogue", input=results, previous_response_id=first.id)
    said: Any = [{"role": "user", "content": "1 + 1?"}, *(item.to_dict() for item in first.output), *results]
    sent = client.responses.create(model="dialogue", input=said, store=False)
    assert kept.output_text == sent.output_text == "Hello"
    assert model.requests[1].messages == model.requests[2].messages
    assert model.requests[1].messages == [
        {"role": "user", "content": "1 + 1?"},
        {
            "role": "assistant",
            "content": "I add.",
            "reasoning_content": "One and one.",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}},
                {"id": "call_2", "type": "function", "function": {"name": "sub", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "2"},
        {"role": "tool", "tool_call_id": "call_2", "content": "0"},
    ]


def test_an_answer_cut_during_reasoning_can_be_continued(client: openai.OpenAI, model: FakeModel) -> None:
    model.enqueue(delta(reasoning="Hm", finish_reason="length", num_output_tokens=1))
    first = client.responses.create(model="dialogue", input="Hello")
    client.responses.create(model="dialogue", input="Well?", previous_response_id=first.id)
    assert (model.requests[1].messages or [])[1] == {"role": "assistant", "content": "", "reasoning_content": "Hm"}


def test_a_tool_call_that_was_cut_can_be_continued_with_a_result_or_without(
    client: openai.OpenAI, model: FakeModel
) -> None:
    model.enqueue(
        delta(tool_calls=[ToolCallDelta(0, "call_1", "add", '{"a')], finish_reason="length", num_output_tokens=1)
    )
    first = client.responses.create(model="dialogue", input="1 + 1?")
    assert [item.status for item in first.output if item.type == "function_call"] == ["incomplete"]
    items: Any = [RESULT]
    client.responses.create(model="dialogue", input=items, previous_response_id=first.id)
    client.responses.create(model="dialogue", input="Go on.", previous_response_id=first.id)
    for request in model.requests[1:]:
        assert request.messages is not None
        assert request.messages[1]["tool_calls"][0]["function"]["arguments"] == '{"a'


def test_text_behind_a_call_belongs_to_the_same_turn(client: openai.OpenAI, model: FakeModel) -> None:
    model.enqueue(
        delta(tool_calls=[ToolCallDelta(0, "call_1", "add", "{}")], num_output_tokens=1),
        delta(text="Done.", num_output_tokens=2),
        delta(finish_reason="tool_calls", num_output_tokens=3),
    )
    first = client.responses.create(model="dialogue", input="1 + 1?")
    items: Any = [RESULT]
    client.responses.create(model="dialogue", input=items, previous_response_id=first.id)
    assert [message["role"] for message in model.requests[1].messages or []] == ["user", "assistant", "tool"]


def test_a_stored_response_can_be_read_as_a_stream_from_any_event_on(client: openai.OpenAI, model: FakeModel) -> None:
    thinking_and_calling(model)
    response = client.responses.create(model="dialogue", input="1 + 1?")
    events = list(client.responses.retrieve(response.id, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.to_dict() == response.to_dict()
    done = [event.item.to_dict() for event in events if event.type == "response.output_item.done"]
    assert done == response.to_dict()["output"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "I add."
    later = client.responses.retrieve(response.id, stream=True, starting_after=5)
    assert [event.to_dict() for event in later] == [event.to_dict() for event in events[6:]]


@pytest.mark.anyio
async def test_a_conversation_can_be_replaced_by_a_summary(http: httpx.AsyncClient, model: FakeModel) -> None:
    first = (await http.post(PATH, json=ASKED)).json()
    model.enqueue("They said ", "hello.")
    asked = {"model": "dialogue", "previous_response_id": first["id"], "input": "How are you?", "tools": [ADD]}
    compaction = (await http.post(f"{PATH}/compact", json=asked)).json()
    assert compaction["object"] == "response.compaction"
    assert [item["type"] for item in compaction["output"]] == ["message", "message", "compaction"]
    assert compaction["usage"]["output_tokens"] == 3
    summarised = model.requests[1]
    assert (summarised.messages or [])[-1]["content"].startswith("Summarise this conversation")
    assert (summarised.tools, summarised.sampling.max_tokens) == (None, 1024)
    again = {"model": "dialogue", "input": [*compaction["output"], {"role": "user", "content": "Go on."}]}
    assert (await http.post(PATH, json=again)).status_code == 200
    contents = [message["content"] for message in model.requests[2].messages or []]
    assert contents[:2] == ["Hello", "How are you?"]
    assert contents[2].endswith("They said hello.")
    assert contents[3] == "Go on."


def test_a_response_has_every_field_of_openais(client: openai.OpenAI) -> None:
    asked: Any = {"max_tool_calls": 3, "reasoning": {"effort": "low"}}
    response = client.responses.create(
        model="dialogue", input="Hello", extra_body={"presence_penalty": 0.5, "frequency_penalty": 0.25}, **asked
    ).to_dict()
    assert (response["presence_penalty"], response["frequency_penalty"]) == (0.5, 0.25)
    assert response["max_tool_calls"] == 3
    assert response["reasoning"] == {"effort": "low", "summary": None}


def test_input_items_are_listed_in_pages(client: openai.OpenAI) -> None:
    first = client.responses.create(model="dialogue", input="0")
    items: Any = [{"role": "user", "content": f"{number}"} for number in range(1, 6)]
    second = client.responses.create(model="dialogue", input=items, previous_response_id=first.id)
    page = client.responses.input_items.list(second.id, limit=3, order="asc")
    assert page.has_more
    texts = [item.content[0].text for item in page if item.type == "message"]  # type: ignore[union-attr]
    assert texts == ["0", "Hello", "1", "2", "3", "4", "5"]
    newest = client.responses.input_items.list(second.id, limit=1)
    assert newest.data[0].content[0].text == "5"  # type: ignore[union-attr]


def test_counted_input_tokens_equal_those_of_the_answer(client: openai.OpenAI, model: FakeModel) -> None:
    response = client.responses.create(model="dialogue", input="Hello", instructions="Be brief.")
    counted = client.responses.input_tokens.count(model="dialogue", input="And you?", previous_response_id=response.id)
    assert counted.input_tokens == model.num_prompt_tokens
    assert [message["content"] for message in model.counted[0].messages or []] == ["Hello", "Hello", "And you?"]


def test_cancelling_a_response_is_not_supported(client: openai.OpenAI) -> None:
    response = client.responses.create(model="dialogue", input="Hello")
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.cancel("resp_0")


@pytest.mark.anyio
async def test_responses_of_another_project_are_not_found(http: httpx.AsyncClient, services: Services) -> None:
    mine = (await http.post(PATH, json=ASKED)).json()["id"]
    services.owner_key.check = lambda key: dataclasses.replace(owner(), project="somebody else")  # type: ignore[method-assign]
    for method, path, body in [
        ("GET", f"{PATH}/{mine}", None),
        ("GET", f"{PATH}/{mine}/input_items", None),
        ("POST", f"{PATH}/{mine}/cancel", None),
        ("DELETE", f"{PATH}/{mine}", None),
        ("POST", PATH, ASKED | {"previous_response_id": mine}),
    ]:
        reply = await http.request(method, path, json=body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found"), (method, path)
    del services.owner_key.check
    assert (await http.get(f"{PATH}/{mine}")).status_code == 200


# What is refused


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
        ({"input": [CALL | {"arguments": "[]"}, RESULT]}, "input[0].arguments", "JSON object"),
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


@pytest.mark.anyio
async def test_ten_thousand_items_are_accepted_and_listed(http: httpx.AsyncClient, model: FakeModel) -> None:
    items = [{"role": "user", "content": "x"}] * 10_000
    reply = await http.post(PATH, json=ASKED | {"input": items})
    assert len(model.requests[0].messages or []) == 10_000
    listed = await http.get(f"{PATH}/{reply.json()['id']}/input_items?limit=100")
    assert len(msgspec.json.decode(listed.content, type=ResponseItems).data) == 100
