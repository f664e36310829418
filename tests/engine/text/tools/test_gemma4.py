"""Gemma 4's own syntax for calls: read back as JSON whatever the arguments are, and held to their schema."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from llmos.core.errors import BadRequest
from llmos.engine.messages import ToolCallDelta, Tools
from llmos.engine.text.tools import callable_functions, detect_tool_format, tools_grammar
from llmos.engine.text.tools.gemma4 import GEMMA4
from llmos.engine.text.tools.hermes import HERMES
from llmos.engine.text.tools.parser import CallParser

QUOTE = '<|"|>'


def written(value):
    """Return a value as the chat template renders it in earlier calls."""
    if isinstance(value, str):
        return f"{QUOTE}{value}{QUOTE}"
    if isinstance(value, dict):
        pairs = (f"{key}:{written(each)}" for key, each in sorted(value.items(), key=lambda item: item[0].lower()))
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def call(arguments, name="f"):
    return f"<|tool_call>call:{name}{written(arguments)}<tool_call|>"


def read(text, pieces=None):
    parser = CallParser(GEMMA4.syntax, ["f"])
    parts = [part for piece in pieces or [text] for part in parser.push(piece)] + parser.finish()
    assert not parser.has_incomplete_call
    assert all(isinstance(part, ToolCallDelta) for part in parts), parts
    return json.loads("".join(part.arguments for part in parts))


KEYS = st.text(st.characters(exclude_characters=' \t\n\r:{}[],<"', exclude_categories=["Cs"]), min_size=1, max_size=4)
KEYS = KEYS.filter(lambda key: key.strip() == key)
TEXTS = st.lists(st.one_of(st.sampled_from(["<", '<|"', '<|"|', '"', "\\", "}", ",", "\n"]), st.text(max_size=3))).map(
    "".join
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS.filter(lambda text: QUOTE not in text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES))
def test_arguments_come_back_as_they_were_written(arguments):
    assert read(call(arguments)) == arguments
    assert read("", list(call(arguments))) == arguments


def test_strings_are_streamed():
    parser = CallParser(GEMMA4.syntax, ["f"])
    assert parser.push("Hi\n<|tool_call>call:") == ["Hi"]
    [first] = parser.push('f{note:<|"|>Dear <')
    assert (first.name, first.arguments) == ("f", '{"note": "Dear ')
    assert parser.push('b>"') == [ToolCallDelta(0, arguments='<b>\\"')]
    assert parser.push('<|"|>}') == [ToolCallDelta(0, arguments='"}')]
    assert parser.push("<tool_call|>") == []


SCHEMA = {
    "type": "object",
    "properties": {
        "when": {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$"},
        "Kind": {"enum": ["rain", 3, None, {"a": [1]}]},
        "days": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 2},
        "place": {
            "type": "object",
            "properties": {"city": {"type": "string", "minLength": 1}, "x:y": {"type": ["number", "null"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "tree": {"$ref": "#/$defs/tree"},
        "any": {},
        "one": {"anyOf": [{"type": "boolean"}, {"type": "string", "maxLength": 2}]},
    },
    "required": ["days"],
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {"left": {"$ref": "#/$defs/tree"}},
            "additionalProperties": False,
        }
    },
}
TAGS = {"<|tool_call>": 256, "<tool_call|>": 257, QUOTE: 258}
BYTES = LLTokenizer("byte", slices=[])


def accepts(grammar, text, *, is_control):
    matcher = LLMatcher(BYTES, LLMatcher.grammar_from_lark(grammar.text), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    tokens = []
    while text:
        tag = next((each for each in TAGS if is_control and text.startswith(each)), None)
        taken = tag or text[0]
        tokens += [TAGS[tag]] if tag else list(taken.encode())
        text = text[len(taken) :]
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


def grammar_of(schema, control=None, **options):
    function = {"name": "f", "parameters": schema, **options}
    return tools_grammar(GEMMA4, Tools(functions=[function], choice="required"), control or (lambda text: None))


@pytest.mark.parametrize("is_control", [False, True])
def test_arguments_follow_their_schema(is_control):
    grammar = grammar_of(SCHEMA, TAGS.get if is_control else None)
    for arguments in (
        {"days": [1]},
        {"days": [1, 20], "when": "12:30", "Kind": {"a": [1]}, "tree": {"left": {"left": {}}}},
        {"days": [7], "place": {"city": "Ü<|"}, "one": "ab", "any": {"x": [{"y": "z"}, None, 1.5]}},
        {"days": [7], "Kind": None, "one": True, "any": ""},
    ):
        assert accepts(grammar, call(arguments), is_control=is_control), arguments
        assert accepts(grammar, call(arguments) + call({"days": [2]}), is_control=is_control)
    quoted_key = f"<|tool_call>call:f{{days:[1],place:{{city:{written('a')},{QUOTE}x:y{QUOTE}:1}}}}<tool_call|>"
    assert accepts(grammar, quoted_key, is_control=is_control)
    for arguments in (
        {},
        {"days": []},
        {"days": [0]},
        {"days": [1, 2, 3]},
        {"days": [1], "when": "12-30"},
        {"days": [1], "when": "12:300"},
        {"days": [1], "Kind": "snow"},
        {"days": [1], "place": {}},
        {"days": [1], "place": {"city": ""}},
        {"days": [1], "tree": {"right": {}}},
        {"days": [1], "one": "abc"},
        {"days": [1], "other": 1},
    ):
        assert not accepts(grammar, call(arguments), is_control=is_control), arguments


@pytest.mark.parametrize("is_control", [False, True])
def test_other_arguments_may_come_where_the_schema_allows_them(is_control):
    schema = {"properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "boolean"}}
    grammar = grammar_of(schema, TAGS.get if is_control else None)
    for arguments in ({}, {"a": 1}, {"b": True}, {"a": 1, "b": True, "c": False}):
        assert accepts(grammar, call(arguments), is_control=is_control), arguments
    assert not accepts(grammar, call({"b": 1}), is_control=is_control)
    assert not accepts(grammar, call({"a": True}), is_control=is_control)


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"pattern": "b+"}, ["abc", "b", "b\n<"], ["", "ac"]),
        ({"pattern": "^a/b"}, ["a/b", "a/bc"], ["xa/b", "a"]),
        ({"pattern": "[a|b]$"}, ["xa", "|"], ["ax"]),
        ({"pattern": "^(x|y)$", "maxLength": 3}, ["x", "y"], ["z", "xy"]),
        ({"format": "date"}, ["2024-02-29"], ["2023-02-29", "today"]),
        ({"format": "date-time"}, ["2024-02-29T10:00:00Z"], ["2024-02-29"]),
        ({"minLength": 2}, ["ab"], ["a"]),
    ],
)
@pytest.mark.parametrize("is_control", [False, True])
def test_strings_follow_their_schema(schema, right, wrong, is_control):
    parameters = {"properties": {"a": {"type": "string", **schema}}}
    grammar = grammar_of(parameters, TAGS.get if is_control else None, strict=True)
    assert all(accepts(grammar, call({"a": text}), is_control=is_control) for text in right)
    assert not any(accepts(grammar, call({"a": text}), is_control=is_control) for text in wrong)


def test_the_closing_quote_spelled_as_text_does_not_come_into_a_string():
    grammar = grammar_of({"properties": {"a": {"type": "string"}}}, TAGS.get)
    spelled = [256, *b"call:f{a:", 258, *QUOTE.encode()]
    matcher = LLMatcher(BYTES, LLMatcher.grammar_from_lark(grammar.text), log_level=0)
    assert matcher.try_consume_tokens(spelled) == len(spelled) - 1


def test_what_the_syntax_has_no_rules_for_is_named_and_refused_for_a_strict_tool():
    schema = {"type": "object", "properties": {"a": {"type": "string", "format": "ipv4"}}}
    [function] = callable_functions(Tools(functions=[{"name": "f", "parameters": schema}]))
    grammar = tools_grammar(GEMMA4, Tools(functions=[{"name": "f"}], choice="required"), lambda _: None, [function])
    assert function.dropped == ["tools[0].function.parameters.properties.a.format"]
    assert accepts(grammar, call({"a": "no address"}), is_control=False)
    with pytest.raises(BadRequest, match="#/properties/a/format isn't enforced in this model's syntax for calls"):
        grammar_of(schema, strict=True)


TEMPLATE = """{% for tool in tools %}<|tool>declaration:{{ tool.function.name }}
{%- for name, each in tool.function.parameters.properties | dictsort %} {{ name }}:
{{- each['type'] | upper }}{% endfor -%}
<tool|>{% endfor %}{{ '<|tool_call>call:' + name + '{' }}{{ '<|"|>' + text + '<|"|>' }}"""


def test_the_format_is_found_by_its_template():
    assert detect_tool_format(TEMPLATE) is GEMMA4
    assert detect_tool_format("{{ tools }}<tool_call>") is HERMES


def test_the_template_gets_an_object_with_one_type_for_each_property():
    parameters = {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"]}, "b": True, "c": {"items": {"type": ["integer"]}}},
    }
    _, variables = GEMMA4.render([], [{"name": "f", "parameters": parameters}])
    [tool] = variables["tools"]
    assert tool["function"]["description"] == ""
    assert tool["function"]["parameters"]["properties"] == {
        "a": {"type": "string", "nullable": True},
        "b": {},
        "c": {"items": {"type": "integer"}},
    }
