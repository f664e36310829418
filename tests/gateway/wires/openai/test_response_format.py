"""The fields for structured output of every wire format become a grammar; contradictions are rejected."""

import json
from typing import Any, Literal

import httpx
import openai
import pytest
from pydantic import BaseModel, Field

from llmos.core.errors import BadRequest
from llmos.engine.messages import Grammar
from llmos.gateway.http.requests import decode
from llmos.gateway.wires.llmos.generate.fields import GenerateRequest
from llmos.gateway.wires.openai.chat.fields import ChatRequest
from llmos.gateway.wires.openai.completions.fields import CompletionRequest
from llmos.security.callers import owner
from support.real_server import KEY, Running

pytestmark = pytest.mark.shared_gateway

SCHEMA = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "null"}}, "required": ["b", "a"]}
ENDLESS = 'start: %json {"type": "integer", "multipleOf": 123456789}'


def chat(**fields: Any) -> Grammar | None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return decode(json.dumps(body).encode(), ChatRequest).call(owner()).grammar


def generate(**fields: Any) -> Grammar | None:
    return decode(json.dumps({"model": "m", "prompt": "Hi", **fields}).encode(), GenerateRequest).call(owner()).grammar


def as_openai(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema, **more}}


@pytest.mark.parametrize(
    ("fields", "kind", "text"),
    [
        ({"response_format": {"type": "json_object"}}, "json_object", ""),
        ({"structured_outputs": {"json_object": True}}, "json_object", ""),
        ({"structured_outputs": {"regex": "a+"}}, "regex", "a+"),
        ({"structured_outputs": {"choice": ["yes", "nö"]}}, "choice", '["yes","nö"]'),
        ({"structured_outputs": {"grammar": 'start: "a"'}}, "lark", 'start: "a"'),
    ],
)
def test_openais_and_vllms_words(fields: dict[str, Any], kind: str, text: str) -> None:
    (field,) = fields
    assert chat(**fields) == Grammar(kind, text, field)  # type: ignore[arg-type]
    completion = {"model": "m", "prompt": "Hi", **fields}
    assert decode(json.dumps(completion).encode(), CompletionRequest).call(owner()).grammar == chat(**fields)


@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
def test_a_schema_may_stand_where_llamacpp_takes_it(kind: str) -> None:
    assert chat(response_format={"type": kind, "schema": SCHEMA}) == chat(response_format=as_openai(SCHEMA))


def test_a_schema_keeps_the_order_of_its_properties() -> None:
    for grammar in (
        chat(response_format=as_openai(SCHEMA, strict=True, description="A thing.")),
        chat(structured_outputs={"json": SCHEMA}),
        generate(format={"json_schema": SCHEMA}),
    ):
        assert grammar is not None
        assert (grammar.kind, grammar.text) == ("json_schema", json.dumps(SCHEMA, separators=(",", ":")))


def test_our_own_words() -> None:
    assert generate(format={"lark": 'start: "a"'}) == Grammar("lark", 'start: "a"', "format")
    assert generate(format={"json_object": True}) == Grammar("json_object", field="format")


def test_nothing_asked_is_nothing_held() -> None:
    assert chat() is chat(response_format={"type": "text"}) is chat(structured_outputs=None) is generate() is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
        ),
        ({"response_format": {"type": "json_object", "json_schema": {"schema": {}}}}, "response_format.json_schema"),
        ({"response_format": {"type": "text", "schema": SCHEMA}}, "response_format.schema"),
        ({"response_format": as_openai(SCHEMA) | {"schema": SCHEMA}}, "response_format.schema"),
        ({"response_format": as_openai(SCHEMA, schemata={})}, "response_format.json_schema.schemata"),
        ({"response_format": as_openai([1])}, "response_format.json_schema.schema"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs"),
        ({"structured_outputs": {"structural_tag": "{}"}}, "structured_outputs.structural_tag"),
        ({"structured_outputs": {"regex": "a"}, "response_format": {"type": "json_object"}}, "structured_outputs"),
        ({"guided_json": SCHEMA}, "guided_json"),
        ({"guided_regex": "a"}, "guided_regex"),
        ({"format": {"regex": "a"}}, "format"),
    ],
    ids=str,
)
def test_what_cant_be_meant_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        chat(**fields)
    assert raised.value.param == param


def test_an_older_name_is_refused_with_the_newer() -> None:
    with pytest.raises(BadRequest, match=r'`structured_outputs`: \{"choice": …\}'):
        chat(guided_choice=["a"])


# --- the real server


class Person(BaseModel):
    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)
    hobbies: list[Literal["music", "sports", "tea"]] = Field(max_length=2)


@pytest.fixture
def asked() -> dict[str, Any]:
    messages = [{"role": "user", "content": "Describe a person, as JSON."}]
    return {"model": "dialogue", "messages": messages, "max_tokens": 300, "temperature": 1.0, "seed": 3}


def test_the_clients_own_parsing_works(running: Running, asked: dict[str, Any]) -> None:
    with running.openai() as client:
        plain = client.chat.completions.parse(**asked, response_format=Person)
        with client.chat.completions.stream(**asked, response_format=Person) as stream:
            for _ in stream:
                pass
            streamed = stream.get_final_completion()
    assert plain.choices[0].finish_reason == "stop"
    assert isinstance(plain.choices[0].message.parsed, Person)
    assert streamed.choices[0].message.parsed == plain.choices[0].message.parsed


def test_a_truncated_answer_has_finish_reason_length(running: Running, asked: dict[str, Any]) -> None:
    with running.openai() as client:
        with pytest.raises(openai.LengthFinishReasonError):
            client.chat.completions.parse(**asked | {"max_tokens": 4}, response_format=Person)
        cut = client.chat.completions.create(**asked | {"max_tokens": 4}, response_format={"type": "json_object"})
    assert cut.choices[0].finish_reason == "length"


def test_an_endless_grammar_is_its_own_requests_400(running: Running, asked: dict[str, Any]) -> None:
    with running.openai() as client:
        with pytest.raises(openai.BadRequestError, match="more than 2 seconds") as raised:
            client.chat.completions.create(**asked, extra_body={"structured_outputs": {"grammar": ENDLESS}})
        assert raised.value.param == "structured_outputs"
        choice = client.completions.create(
            model="smollm2", prompt="Is the sky blue? ", extra_body={"structured_outputs": {"choice": ["yes", "no"]}}
        )
    assert choice.choices[0].text in ("yes", "no")
    assert choice.usage is not None
    assert choice.usage.completion_tokens < 4


def test_our_own_route_takes_a_format(running: Running) -> None:
    body = {"model": "dialogue", "prompt": "When was that?", "format": {"regex": "[0-9]{4}-[0-9]{2}"}}
    reply = httpx.post(f"{running.url}/llmos/v1/generate", json=body, headers={"x-api-key": KEY}, timeout=60).json()
    assert len(reply["text"]) == 7
    assert reply["finish_reason"] == "stop"
