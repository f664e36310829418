"""Finished values are checked against the whole schema, also with the words that no grammar enforces."""

from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.engine.text.schemas import SchemaError, SchemaValidator
from support.examples import examples
from support.schema_strategies import SCHEMAS


def violations(schema: dict[str, Any], value: Any) -> list[str]:
    return SchemaValidator(schema).violations(value, 4)


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        (of(path={"pattern": r"^(?!.*\.\.).+$"}), {"path": "../x"}, "#/path: the value does not match"),
        (of(a={"uniqueItems": True}), {"a": [1, 1]}, "#/a: the value has non-unique elements"),
        (of(a={"contains": {"const": 1}}), {"a": [2]}, "#/a: "),
        ({"type": "object", "minProperties": 2}, {"a": 1}, "#: "),
        (of(day={"format": "date"}), {"day": "2023-02-29"}, '#/day: the value is not a "date"'),
        ({**of(a=True), "required": ["b"]}, {"a": 1}, '#: "b" is a required property'),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1, "b": 1}, "#: "),
        ({"$defs": {"a/b": {"type": "integer"}}, **of(x={"$ref": "#/$defs/a~1b"})}, {"x": "1"}, "#/x: "),
    ],
)  # fmt: skip
def test_a_value_that_breaks_a_constraint_is_named_by_its_path(schema: dict[str, Any], value: Any, said: str) -> None:
    (message,) = violations(schema, value)
    assert message.startswith(said)


def test_messages_have_neither_the_value_nor_more_of_the_schema_than_helps() -> None:
    (message,) = violations(of(a={"enum": ["x" * 900]}), {"a": "a secret"})
    assert "secret" not in message
    assert len(message) < 300


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
        {"type": "object", "properties": {"a": {"type": ["String", None]}}},
        {**of(a={"type": "any"}), "required": True},
        {**of(a=[]), "$schema": "http://spec.openapis.org/anything"},
        of(a={"$ref": "https://x.y/z"}),
        of(a={"$ref": "file:///etc/passwd"}),
        of(a={"$ref": "#/$defs/none"}),
        of(a={"pattern": "(", "minLength": None, "format": "cuid"}),
        {**of(a={}), "allOf": [None, {"type": "Object"}], "anyOf": {}},
        of(a={"pattern": "(a{1000}){1000}"}),
    ],
)
def test_what_json_schema_does_not_allow_is_left_out(schema: dict[str, Any]) -> None:
    schema = {**schema, "maxProperties": 2}
    assert violations(schema, {"a": "text"}) == []
    assert len(violations(schema, {"a": "text", "b": 1, "c": 2})) == 1, "the rest holds"


def nested(name: str, depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {name: value}
    return value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (of(a={"pattern": r"^(?=(a|aa)+$)(a|aa)+\1b$"}), {"a": "a" * 60}),
        ({**of(k={"anyOf": [{"$ref": "#"}] * 4}), "required": ["z"]}, nested("k", 30)),
        ({"$defs": {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 3} for i in range(30)}, "$ref": "#/$defs/d0"}, 1),  # noqa: E501
        ({**of(k={"allOf": [{"$ref": "#"}, {"not": {"$ref": "#"}}]}), "required": ["z"]}, nested("k", 60)),
        (of(a={"items": {"anyOf": [{"pattern": f"^(?!{i})"} for i in range(50)]}}), {"a": ["x"] * 4000}),
    ],
)  # fmt: skip
def test_a_check_that_would_take_long_is_left_out(schema: dict[str, Any], value: Any) -> None:
    assert violations(schema, value) == []


def test_a_schema_that_is_too_large_is_not_compiled() -> None:
    with pytest.raises(SchemaError, match="more than"):
        SchemaValidator(of(**{f"p{i}": {"pattern": "^(?!x)", "title": "t" * 999} for i in range(999)}))


def test_an_ordinary_recursive_schema_is_checked() -> None:
    tree = {"$defs": {"n": {**of(k={"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}), "required": ["k"]}}}
    schema = {**tree, **of(a={"$ref": "#/$defs/n"})}
    deep = {"a": {"k": {"k": {"k": {"k": None}}}}}
    assert violations(schema, deep) == []
    assert violations(schema, {"a": {"k": {"k": {"x": 1}}}}) != []


def test_a_schema_that_nothing_can_be_checked_against_is_an_error() -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"not": deep}
    with pytest.raises(SchemaError, match="can't be checked"):
        SchemaValidator(deep)


def test_half_a_surrogate_pair_is_not_checked() -> None:
    assert violations(of(a={"maxLength": 1}), {"a": "\ud800"}) == []


VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | st.text("abx1", max_size=3),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "kind"]), inner, max_size=3),
)


@settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
@given(SCHEMAS, VALUES)
def test_it_finds_nothing_where_jsonschema_finds_nothing(schema: Any, value: Any) -> None:
    if not isinstance(schema, dict):
        return
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        is_valid = jsonschema.Draft202012Validator(schema).is_valid(value)
    except Exception:  # What isn't JSON Schema is left to the examples above.
        return
    assert not is_valid or violations(schema, value) == []
