"""Schemas as people send them: what can be enforced is, and the rest is dropped or refused by its path."""

import json
import re
from contextlib import suppress

import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher

from llmos.engine.text.grammar import schema_source
from llmos.engine.text.schemas import SchemaError, SchemaValidator, prepare_schema, with_ascii_classes
from support.examples import examples
from support.json_grammars import BYTES, accepts, random_value
from support.schema_strategies import SCHEMAS, as_draft_2020

FORMAT_CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER


def source(schema, *, strict=True):
    return schema_source(prepare_schema(schema, is_strict=strict).schema)


def follows(schema, value, *, strict=True):
    return accepts(source(schema, strict=strict), value if isinstance(value, str) else json.dumps(value))


def string(**keywords):
    return {"type": "string", **keywords}


def closed(properties, **keywords):
    return {"type": "object", "properties": properties, "additionalProperties": False, **keywords}


def refusal(schema):
    with pytest.raises(SchemaError) as caught:
        prepare_schema(schema, is_strict=True)
    return str(caught.value)


# --- any schema


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(SCHEMAS, st.booleans(), st.integers(0, 100))
def test_answers_follow_the_schema_whatever_its_keywords_are(schema, is_strict, seed):
    """A strict schema is enforced, or refused in plain words. Of others, what is dropped is known."""
    try:
        prepared = prepare_schema(schema, is_strict=is_strict)
    except SchemaError:
        if not is_strict:
            raise
        return event("refused")
    grammar = schema_source(prepared.schema)
    made = LLMatcher(BYTES, grammar, log_level=0)
    if not made.is_error():
        made.compute_bitmask()
    if made.is_error():  # mostly since nothing matches the schema
        return event("rejected by the grammar library")
    for value in random_value(grammar, seed):
        event("dropped something" if prepared.dropped else "enforced")
        if not prepared.dropped:
            validator = jsonschema.Draft202012Validator(as_draft_2020(schema), format_checker=FORMAT_CHECKER)
            with suppress(RecursionError):  # jsonschema follows a reference that leads to itself for ever
                validator.validate(value)
            if isinstance(schema, dict):
                assert SchemaValidator(schema).violations(value, 1) == [], "a check afterwards finds nothing"
    return None


# --- annotations and null


@pytest.mark.parametrize(
    "annotation",
    [
        {"description": "d" * 100_000},
        {"$schema": "https://spec.openapis.org/oas/3.1/dialect/base"},
        {"title": "T", "examples": [{}], "default": 7, "deprecated": True, "x-order": 1, "contentEncoding": "base64"},
        {"required": None, "additionalProperties": None, "enum": None, "pattern": None, "anyOf": None, "$ref": None},
        {"$id": "https://example.com/tool.json", "$comment": "c"},
    ],
)
def test_annotations_and_null_constrain_nothing_and_take_no_room(annotation):
    schema = {"type": "object", "properties": {"a": {"type": "integer", **annotation}}, **annotation}
    prepared = prepare_schema(schema, is_strict=True)
    assert prepared.schema == {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert prepared.dropped == []


def test_an_array_stands_for_an_empty_object_as_php_writes_it():
    assert follows({"type": "object", "properties": [], "required": []}, {"b": 1})
    assert follows(closed({"a": []}), {"a": [1]})


# --- numbers


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (-9223372036854775808, 9223372036854775807),  # Go, .NET
        (-9223372036854776000, 9223372036854776000),  # the same from JavaScript
        (0, 18446744073709552000),
        (-9007199254740991, 9007199254740991),
        (-3.4028234663852886e38, 3.4028234663852886e38),
        (-1.7976931348623157e308, 1.7976931348623157e308),
        (2.2250738585072014e-308, 1),
    ],
)
@pytest.mark.parametrize("kind", ["integer", "number"])
@pytest.mark.parametrize("strict", [True, False])
def test_ranges_of_any_language_are_accepted(low, high, kind, strict):
    schema = {"type": kind, "minimum": low, "maximum": high}
    assert follows(schema, 1, strict=strict)
    assert follows(schema, 2**50, strict=strict) == (high > 1)
    assert follows(schema, -5, strict=strict) == (low < 0)


def test_a_bound_that_no_float_represents_moves_inwards():
    schema = {"type": "integer", "minimum": 2**53 + 1}
    assert not follows(schema, 2**53)
    assert not follows(schema, 2**53 + 1)
    assert follows(schema, 2**53 + 2)
    top = {"type": "integer", "maximum": 2**63 - 1}
    assert not follows(top, 2**63)
    assert follows(top, 2**63 - 1024)


def test_bounds_of_integers_may_be_fractions_and_booleans_of_draft_4():
    assert not follows({"type": "integer", "minimum": 0.5, "maximum": 2.5}, 0)
    assert not follows({"type": "integer", "minimum": 0.5, "maximum": 2.5}, 3)
    assert follows({"type": "integer", "minimum": 0.5, "maximum": 2.5}, 2)
    assert not follows({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, 1)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "integer", "minimum": 1e19}, "#/minimum is beyond 64 bits"),
        ({"type": "integer", "minimum": 2**63 - 1}, "#/minimum is beyond 64 bits"),
        ({"type": "integer", "maximum": -(2**63)}, "#/maximum is beyond 64 bits"),
        ({"type": "integer", "multipleOf": 123456789}, "#/multipleOf is 123456789, which is too large"),
        ({"type": "integer", "multipleOf": 0}, "#/multipleOf"),
        ({"type": "integer", "minimum": "1"}, "#/minimum must be a number; this is a string"),
        ({"const": 2**53 + 1}, "#/const has a number with too many digits"),
        ({"enum": [1, {"a": [12345678901234567890123]}]}, "#/enum has a number with too many digits"),
    ],
)
def test_numbers_that_cannot_be_enforced(schema, path):
    assert path in refusal(schema)
    assert follows(schema, 7, strict=False)


# --- strings


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"^\d+$", ["12"], ["٣", "１"]),
        (r"^\w+$", ["aZ_9"], ["é", "a b"]),
        (r"^\s$", [" ", "\t", "\n"], ["\u00a0", "\u2003"]),
        (r"^[\d\s]+$", ["1 2"], ["٣"]),
        (r"^[^\d]$", ["a", "٣"], ["1"]),
        ("^(?!/).{1,8}$", ["a/b"], ["/a", ""]),
        (r"^(?=.*[A-Z])(?=.*\d).{4,}$", ["abC1", "1Cab"], ["abc1", "ABCD", "C1"]),
        (r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$", ["1.5", "-.5", "12."], ["", "-", "+.", "1.5.2"]),  # pydantic's Decimal
        (r"^((?!--).)*$", ["a-b", ""], ["a--b"]),
        (r"^(?!.*\.\.)[a-z.]+$", ["a.b"], ["a..b"]),
        (r"^(?!(?:con|nul)$)[a-z]+$", ["cons", "a"], ["con", "nul"]),
        (r"^(?!.*-$)[a-z-]+$", ["a-b"], ["ab-"]),
        (r"^[a&&b]$", ["a", "&"], ["c"]),
        (r"^[[a]$", ["["], ["b"]),
        (r"^\/\#\@\u00e9\x41$", ["/#@éA"], []),
        (r"^\ud83d\ude00$", ["😀"], []),
        (r"^(?<year>\d{4})$", ["2024"], []),
        (r"^{a}$", ["{a}"], []),
        ("x", ["axb"], ["ab"]),
    ],
)
def test_patterns_mean_what_they_mean_in_javascript(pattern, yes, no):
    schema = string(pattern=pattern)
    for text in yes:
        assert follows(schema, json.dumps(text, ensure_ascii=False)), text
    for text in no:
        assert not follows(schema, json.dumps(text, ensure_ascii=False)), text


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(?<=a)b", "look-behind"),
        (r"a(?=b)", "look-ahead that is not at its beginning"),
        (r"^(?!a+b)", "negative look-ahead of a kind"),
        (r"^(a)\1$", "refers back to a group"),
        (r"\bfoo\b", "word boundary"),
        (r"^[\ud800-\udbff]$", "surrogate"),
        ("[a", "closing bracket"),
    ],
)
def test_a_pattern_that_cannot_be_enforced_is_dropped_or_refused(pattern, reason):
    schema = closed({"p": string(pattern=pattern, maxLength=3)})
    assert re.match(f"#/properties/p/pattern .*{reason}.*, which can't be enforced", refusal(schema))
    prepared = prepare_schema(schema, is_strict=False)
    assert [each.path for each in prepared.dropped] == ["/properties/p/pattern"]
    assert follows(schema, {"p": "zz"}, strict=False)
    assert not follows(schema, {"p": "zzzz"}, strict=False)


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("date", ["2024-02-29", "2000-02-29", "1999-12-31"],
         ["2023-02-29", "1900-02-29", "2024-02-30", "2024-04-31", "2024-13-01", "0000-01-01", "2024-1-1"]),
        ("time", ["12:00:59Z", "23:59:59.123+02:00"], ["12:00:60Z", "24:00:00Z", "12:60:00Z", "12:00:00"]),
        ("date-time", ["2024-02-29T23:59:59Z"], ["2023-02-29T00:00:00Z", "2024-02-28T12:00:60Z"]),
        ("uuid", ["10082356-4ab9-7efe-caed-dcebcdffafdd"], ["10082356-4ab9"]),
    ],
)  # fmt: skip
def test_dates_and_times_exist(name, yes, no):
    for text in yes:
        assert follows(string(format=name), text if text.startswith('"') else f'"{text}"'), text
    for text in no:
        assert not follows(string(format=name), f'"{text}"'), text


@pytest.mark.parametrize(
    "name", ["starts_with", "cuid", "path", "password", "binary", "regex", "int64", "idn-email", ""]
)
def test_a_format_that_is_not_enforced_is_an_annotation(name):
    assert follows(string(format=name, pattern="^ab.*"), '"abc"')
    assert not follows(string(format=name, pattern="^ab.*"), '"bc"')


@pytest.mark.parametrize(
    ("expression", "yes", "no"),
    [
        (r"\d", "7", "٣"),
        (r"[\d\-x]", "-", "٣"),
        (r"\w+", "a_1", "é"),
        (r"[^\w]", "é", "a"),
        (r"\s", "\t", "\u00a0"),
        (r"\\d", "\\d", "7"),
        (r"[[:alpha:]\d]", "q", "٣"),
        (r"\p{Nd}", "٣", "x"),
    ],
)
def test_classes_of_a_regular_expression_are_ascii(expression, yes, no):
    grammar = LLMatcher.grammar_from_regex(with_ascii_classes(expression))
    assert accepts(grammar, yes)
    assert not accepts(grammar, no)


# --- objects


def test_a_name_cannot_be_respelled_to_get_around_its_schema():
    for schema in (
        {"type": "object", "properties": {"a": {"type": "integer"}}},
        {"type": "object", "patternProperties": {"^a": {"type": "integer"}}},
        {"type": "object", "propertyNames": {"enum": ["b"]}},
    ):
        for text in ('{"\\u0061": "x"}', '{"a": 1, "\\u0061": "x"}', '{"b": 1, "\\u0061": "x"}'):
            assert not follows(schema, text), text


def test_names_may_have_a_schema():
    assert follows({"type": "object", "propertyNames": {"type": "string"}}, {"any name": 1})
    assert follows(
        {"type": "object", "propertyNames": {"$ref": "#/$defs/n"}, "$defs": {"n": {"enum": ["a"]}}}, {"a": 1}
    )
    record = {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": {"type": "integer"}}
    assert follows(record, {"b": 1})
    assert not follows(record, {"c": 1})
    assert not follows(record, {"a": "x"})
    pattern = {"type": "object", "propertyNames": {"pattern": "^x"}, "additionalProperties": {"type": "integer"}}
    assert follows(pattern, {"xy": 1})
    assert not follows(pattern, {"y": 1})
    assert not follows({"type": "object", "propertyNames": {"maxLength": 2}}, {"abc": 1})
    assert "#/propertyNames" in refusal({"type": "object", "propertyNames": {"not": {"const": "a"}}})


def test_a_property_may_require_another():
    schema = closed({"card": string(), "address": string()}, dependentRequired={"card": ["address"]})
    assert follows(schema, {"address": "x"})
    assert follows(schema, {"card": "x", "address": "y"})
    assert not follows(schema, {"card": "x"})


def test_the_names_of_combined_schemas_are_the_only_ones_with_unevaluated_properties():
    base = {"type": "object", "properties": {"a": {"type": "integer"}}}
    schema = {
        "$defs": {"base": base},
        "allOf": [{"$ref": "#/$defs/base"}, {"properties": {"b": {"type": "integer"}}}],
        "unevaluatedProperties": False,
    }
    assert follows(schema, {"a": 1, "b": 2})
    assert not follows(schema, {"a": 1, "c": 2})


def test_a_required_list_inside_of_properties_is_an_error_that_says_so():
    schema = {"type": "object", "properties": {"coin": string(), "required": ["coin"]}}
    with pytest.raises(SchemaError, match="#/properties/required lists names inside of `properties`"):
        prepare_schema(schema, is_strict=False)


# --- unions


CAT = {"type": "object", "properties": {"kind": {"const": "cat", "default": "cat"}, "name": string(maxLength=5)}}
DOG = {"type": "object", "properties": {"kind": {"const": "dog", "default": "dog"}, "n": {"type": "integer"}}}


@pytest.mark.parametrize("keyword", ["oneOf", "anyOf"])
def test_the_discriminator_of_a_union_is_required(keyword):
    schema = {
        "$defs": {"Cat": {**CAT, "required": ["name"]}, "Dog": DOG},
        keyword: [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
        "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"}},
    }
    assert follows(schema, {"kind": "cat", "name": "Tom"})
    assert follows(schema, {"kind": "dog"})
    assert not follows(schema, {"name": "Tom"})
    assert not follows(schema, {"n": 1})


def test_one_of_is_enforced_where_its_branches_exclude_each_other():
    assert follows({"oneOf": [CAT, DOG]}, {"kind": "cat"})
    assert not follows({"oneOf": [CAT, DOG]}, {"name": "Tom"})
    assert follows({"oneOf": [{"type": "string"}, {"type": "null"}]}, "null")
    assert follows({"oneOf": [{"enum": ["a"]}, {"const": "b"}]}, '"b"')
    either = {**closed({"url": string(), "path": string()}), "oneOf": [{"required": ["url"]}, {"required": ["path"]}]}
    assert follows(either, {"url": "u"})
    assert follows(either, {"path": "p"})
    assert not follows(either, {"url": "u", "path": "p"})
    assert not follows(either, {})
    overlapping = {"oneOf": [{"type": "integer"}, {"type": "number"}]}
    assert refusal(overlapping).startswith("#/oneOf has branches that may hold together")
    assert follows(overlapping, 1, strict=False)


def test_a_union_may_be_nested_and_recursive():
    schema = {
        "$defs": {
            "Leaf": {"type": "object", "properties": {"op": {"const": "leaf"}, "value": {"type": "integer"}}},
            "Not": {"type": "object", "properties": {"op": {"const": "not"}, "arg": {"$ref": "#/$defs/Node"}}},
            "Add": {"type": "object", "properties": {"op": {"enum": ["add", "sub"]}, "l": {"$ref": "#/$defs/Node"}}},
            "Node": {
                "oneOf": [{"$ref": "#/$defs/Leaf"}, {"$ref": "#/$defs/Inner"}], "discriminator": {"propertyName": "op"}
            },
            "Inner": {"oneOf": [{"$ref": "#/$defs/Not"}, {"$ref": "#/$defs/Add"}]},
        },
        "$ref": "#/$defs/Node",
    }  # fmt: skip
    assert follows(schema, {"op": "not", "arg": {"op": "add", "l": {"op": "leaf", "value": 1}}})
    assert not follows(schema, {"op": "not", "arg": {"value": 1}})


@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        ({"type": ["string", "null"], "not": {"type": "null"}}, ["a"], [None]),
        (string(enum=["a", "b"], **{"not": {"const": "a"}}), ["b"], ["a"]),
        (string(**{"not": {"enum": ["", "no"]}}), ["a", "nope"], ["", "no"]),
        (closed({"a": {}, "b": {}}, **{"not": {"required": ["a"]}}), [{"b": 1}], [{"a": 1}]),
        (closed({"a": {}, "b": {}}, minProperties=1), [{"b": 1}], [{}]),
        ({"type": "array", "uniqueItems": True, "maxItems": 1}, [[1]], [[1, 1]]),
        ({"type": "array", "items": [{"type": "integer"}], "additionalItems": False}, [[1]], [[1, 1], ["a"]]),
    ],
)
def test_other_keywords_are_enforced_where_they_can_be(schema, yes, no):
    assert all(follows(schema, json.dumps(value)) for value in yes)
    assert not any(follows(schema, json.dumps(value)) for value in no)


def test_a_condition_on_listed_values_is_enforced():
    schema = closed(
        {"kind": {"enum": ["file", "text"]}, "path": string(), "text": string()},
        required=["kind"],
        **{
            "if": {"properties": {"kind": {"const": "file"}}},
            "then": {"required": ["path"]},
            "else": {"required": ["text"]},
        },
    )
    assert follows(schema, {"kind": "file", "path": "p"})
    assert follows(schema, {"kind": "text", "text": "t"})
    assert not follows(schema, {"kind": "file", "text": "t"})
    assert not follows(schema, {"kind": "text"})


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("uniqueItems", True),
        ("contains", {"type": "integer"}),
        ("not", {"minItems": 3}),
        ("$ref", "https://example.com/other.json"),
        ("$ref", "#/$defs/missing"),
        ("anyOf", []),
        ("enum", []),
    ],
)
def test_a_keyword_that_cannot_be_enforced_is_dropped_or_refused_by_its_path(keyword, value):
    schema = closed({"a": {"type": "array", keyword: value}})
    assert refusal(schema).startswith(f"#/properties/a/{keyword} ")
    prepared = prepare_schema(schema, is_strict=False)
    assert [each.path for each in prepared.dropped] == [f"/properties/a/{keyword}"]
    assert follows(schema, {"a": [1, 1]}, strict=False)


def test_a_reference_may_lead_anywhere_within_the_schema():
    schema = {
        "$id": "https://example.com/root.json",
        "type": "object",
        "properties": {
            "tree": closed({"l": {"anyOf": [string(maxLength=3), {"$ref": "#/properties/tree"}]}}),
            "r": {"$ref": "#/properties/tree/properties/l/anyOf/0"},
            "n": {"$ref": "https://example.com/root.json#count"},
        },
        "$defs": {"a/b": {"$anchor": "count", "type": "integer"}, "unused": {"type": "nonsense"}},
    }
    assert follows(schema, {"tree": {"l": {"l": "abc"}}, "r": "abc", "n": 1})
    assert not follows(schema, {"tree": {"l": "abcd"}})
    assert not follows(schema, {"n": "x"})


def test_an_invalid_type_is_always_an_error():
    for strict in (True, False):
        with pytest.raises(SchemaError, match="#/properties/a/type is 'strnig'; it takes array, boolean"):
            prepare_schema(closed({"a": {"type": "strnig"}}), is_strict=strict)


def test_a_schema_may_be_deep_but_not_endlessly():
    deep = json.loads('{"items":' * 300 + "{}" + "}" * 300)
    assert "nested more than 64 levels deep" in refusal(deep)
    assert prepare_schema(deep, is_strict=False).dropped
