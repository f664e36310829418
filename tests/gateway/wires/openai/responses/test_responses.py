"""/v1/responses through the official client: complete and streamed, stored and continued, and invalid requests."""

from typing import Any

import openai
import pytest

from llmos.engine.messages import Grammar, Tools
from support.fake_backend import FakeModel, token
from support.thinking_answer import ADD, delta, thinking_and_calling

pytestmark = pytest.mark.shared_gateway


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
