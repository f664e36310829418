"""Schemas as libraries and servers write them: enforced as a response format, or as a tool that is not strict."""

import json
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

import jsonschema
import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter
from pydantic.types import FilePath, PositiveInt

from llmos.engine.text.grammar import schema_source
from llmos.engine.text.schemas import prepare_schema
from support.json_grammars import random_value


class Circle(BaseModel):
    shape: Literal["circle"] = "circle"
    radius: float = Field(gt=0, le=100)


class Square(BaseModel):
    shape: Literal["square"] = "square"
    side: PositiveInt


class Group(BaseModel):
    shape: Literal["group"] = "group"
    parts: list["Shape"] = Field(max_length=2)


Shape = Annotated[Circle | Square | Group, Field(discriminator="shape")]


class Order(BaseModel):
    """An order, as an application describes it."""

    model_config = ConfigDict(extra="forbid", regex_engine="python-re")

    id: UUID
    placed: AwareDatetime = Field(description="When it was placed. " * 500)
    price: Decimal
    code: str = Field(pattern=r"^(?!00)[A-Z0-9]{2,4}$", examples=["A1"])
    options: dict[Literal["color", "size"], str] = {}
    token: SecretStr | None = None
    path: FilePath | None = None
    shape: Shape


@pytest.mark.parametrize("model", [Order, Circle | Square, list[Shape], dict[str, PositiveInt], tuple[int, str]])
def test_pydantic_accepts_answers_to_its_own_schemas(model):
    adapter = TypeAdapter(model)
    grammar = schema_source(prepare_schema(adapter.json_schema(), is_strict=True).schema)
    values = [value for seed in range(12) for value in random_value(grammar, seed)]
    assert values
    for value in values:
        if model is Order:
            # pydantic asks for more than its schema says: a file that is there, and a decimal number.
            value |= {"path": __file__} if value.get("path") is not None else {}
            value |= {"price": 1.5}
        adapter.validate_json(json.dumps(value))


ZOD = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "count": {"type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991},
        "id": {"type": "integer", "minimum": -9223372036854776000, "maximum": 9223372036854776000},
        "ratio": {"type": "number", "minimum": -3.4028234663852886e38, "maximum": 3.4028234663852886e38},
        "slug": {"type": "string", "format": "starts_with", "pattern": "^ab.*", "maxLength": 6},
        "record": {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {"type": "boolean"}},
        "levels": {
            "type": "object",
            "propertyNames": {"type": "string", "enum": ["low", "high"]},
            "additionalProperties": {"type": "number"},
            "required": ["low", "high"],
        },
        "event": {
            "oneOf": [
                {"type": "object", "properties": {"on": {"type": "string", "const": "open"}}, "required": ["on"]},
                {
                    "type": "object",
                    "properties": {"on": {"type": "string", "const": "close"}, "why": {"type": "string"}},
                    "required": ["on", "why"],
                },
            ]
        },
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "null"}], "items": {"not": {}}},
        "day": {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
    },
    "required": ["count", "id", "ratio", "slug", "record", "levels", "event", "day"],
    "additionalProperties": False,
}
OPENAPI = {
    "allOf": [
        {"$ref": "#/$defs/Named"},
        {"type": "object", "properties": {"size": {"type": "integer", "format": "int32", "exclusiveMinimum": 0}}},
    ],
    "unevaluatedProperties": False,
    "$defs": {"Named": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
}


@pytest.mark.parametrize("schema", [ZOD, OPENAPI], ids=["zod", "openapi"])
def test_schemas_of_other_libraries_are_enforced(schema):
    grammar = schema_source(prepare_schema(schema, is_strict=True).schema)
    values = [value for seed in range(10) for value in random_value(grammar, seed)]
    assert values
    for value in values:
        jsonschema.validate(value, schema)


def arguments(properties, **more):
    return {"type": "object", "properties": properties, **more}


SERVERS = {
    "files": arguments(
        {
            "path": {"type": "string", "pattern": r"^(?!/)(?!.*\.\.)[\w./-]+$", "description": "Relative. " * 900},
            "edits": {
                "type": "array",
                "items": arguments({"old": {"type": "string"}, "new": {"type": "string"}}, required=["old", "new"]),
            },
            "dryRun": {"type": "boolean", "default": False},
        },
        required=["path", "edits"],
        **{"$schema": "http://json-schema.org/draft-07/schema#"},
    ),
    "mail": arguments(
        {
            "to": {"type": "array", "items": {"type": "string", "format": "email"}, "minItems": 1, "uniqueItems": True},
            "subject": {"type": "string", "pattern": r"^(?<!x)\S.*$", "required": True},
            "priority": {"type": ["string", "null"], "enum": ["low", "high", None]},
        },
        required=None,
    ),
    "cluster": arguments(
        {
            "name": {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
            "limit": {"type": "integer", "format": "int64", "minimum": 0, "maximum": 9223372036854775807},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "replicas": {"anyOf": [{"type": "integer", "enum": [1]}, {"type": "null", "enum": [1]}]},
        },
        required=["name", "namespace"],
        **{"$schema": "https://spec.openapis.org/oas/3.1/dialect/base"},
    ),
    "search": {
        "type": "object",
        "oneOf": [{"required": ["query"]}, {"required": ["ids"]}],
        "properties": {"query": {"type": "string"}, "ids": {"type": "array", "items": {"$ref": "#/definitions/Id"}}},
        "definitions": {"Id": {"type": "integer", "minimum": 0, "maximum": 18446744073709552000}},
        "not": {"required": ["secret", "password"], "minProperties": 4},
    },
    "empty": {"type": "object", "properties": [], "required": []},
}


@pytest.mark.parametrize("name", SERVERS)
def test_tools_as_servers_list_them_are_enforced_as_far_as_they_can_be(name):
    prepared = prepare_schema(SERVERS[name], is_strict=False)
    grammar = schema_source(prepared.schema)
    values = [value for seed in range(10) for value in random_value(grammar, seed)]
    assert values
    dropped = {"mail": {"/properties/to/uniqueItems", "/properties/subject/pattern"}, "search": {
        "/definitions/Id/maximum", "/not"}}  # fmt: skip
    assert {each.path for each in prepared.dropped} == dropped.get(name, set())
    for value in values:
        assert isinstance(value, dict)
        required = SERVERS[name].get("required") or []
        assert set(required) <= set(value)
