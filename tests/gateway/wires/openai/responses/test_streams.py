"""Streams of responses: their events, their end, and errors in them."""

from typing import Any

import httpx
import msgspec
import openai
import pytest

from llmos.core.errors import PromptTooLong, ReplicaFailed
from llmos.gateway.wires.openai.responses.answers import Response, ResponseEvent
from support.fake_backend import FakeModel
from support.scripted import KEY
from support.thinking_answer import thinking_and_calling

pytestmark = pytest.mark.shared_gateway

PATH = "/v1/responses"
ASKED: dict[str, Any] = {"model": "dialogue", "input": "Hello"}


def without_ids(item: Any) -> Any:
    if isinstance(item, list):
        return [without_ids(each) for each in item]
    if isinstance(item, dict):
        return {name: without_ids(value) for name, value in item.items() if name != "id"}
    return item


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
