"""Stored responses: read again, continued, listed, counted, compacted, and deleted."""

import dataclasses
from typing import Any

import httpx
import openai
import pytest

from llmos.core.database import Database
from llmos.core.errors import StoreFailed
from llmos.data.responses import KeptResponses
from llmos.engine.messages import ToolCallDelta
from llmos.gateway.app import create_app
from llmos.gateway.services import Services
from llmos.security.callers import owner
from support.databases import KINDS
from support.fake_backend import FakeModel
from support.scripted import KEY
from support.thinking_answer import ADD, delta, thinking_and_calling

PATH = "/v1/responses"
ASKED: dict[str, Any] = {"model": "dialogue", "input": "Hello"}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "2"}


@pytest.fixture(scope="module", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


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
    data = dataclasses.replace(services.data, responses=KeptResponses(reopened, services.encryption))
    restarted = create_app(dataclasses.replace(services, data=data))
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
