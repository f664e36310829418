"""Grammars for tool calls: an answer that must call does, and one that may call follows the schema if it does."""

import json
import random

import jsonschema
import pytest
from llguidance import LLMatcher, LLTokenizer

from llmos.core.errors import BadRequest
from llmos.engine.messages import Grammar, ToolCallDelta, Tools
from llmos.engine.text.reasoning import ReasoningSplitter, ReasoningTags
from llmos.engine.text.tools import call_parser, tools_grammar
from llmos.engine.text.tools.gemma4 import GEMMA4
from llmos.engine.text.tools.generic import GENERIC
from llmos.engine.text.tools.hermes import HERMES
from llmos.engine.text.tools.llama3 import LLAMA3
from llmos.engine.text.tools.mistral import MISTRAL

pytestmark = pytest.mark.combinations

FORMATS = {"hermes": HERMES, "llama3": LLAMA3, "mistral": MISTRAL, "generic": GENERIC, "gemma4": GEMMA4}
WEATHER = {
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 5}, "days": {"type": "integer", "maximum": 9}},
        "required": ["city"],
    },
}
CLOCK = {"name": "clock", "parameters": {"type": "object", "properties": {}}}
SCHEMAS = {each["name"]: each["parameters"] for each in (WEATHER, CLOCK)}
THINK = ReasoningTags("<think>", "</think>")
BYTES = LLTokenizer("byte", slices=[])
CONTROL = {"[TOOL_CALLS]": 256, "<think>": 257, "</think>": 258}
"""The token ids of these tags if they are control tokens."""
GEMMA4_CONTROL = {"<|tool_call>": 256, "<tool_call|>": 257, '<|"|>': 258}


def tools(**options):
    return Tools(functions=[WEATHER, CLOCK], **options)


def matcher(grammar):
    made = LLMatcher(BYTES, LLMatcher.grammar_from_lark(grammar.text), log_level=0)
    assert not made.is_error(), made.get_error()
    return made


def no_control(text):
    return None


def walk(grammar, seed, most=600, control=CONTROL):
    """Return a random text that the grammar allows, ended early where it may end; None if it gets too long."""
    made, numbers, said = matcher(grammar), random.Random(seed), []
    while not made.is_stopped() and not (made.is_accepting() and said and numbers.random() < 0.3):
        mask = made.compute_bitmask()
        allowed = [token for token in range(259) if mask[token >> 3] >> (token & 7) & 1 and token != 255]
        likely = [token for token in allowed if token >= 256 or chr(token) in '"}]0123456789abc{, \n<']
        said.append(numbers.choice(likely or allowed))
        assert made.consume_token(said[-1])
        if len(said) > most:
            return None
    texts = {number: text.encode() for text, number in control.items()}
    return b"".join(texts.get(token, bytes([token & 255])) for token in said).decode("utf-8", "replace")


def accepts(grammar, text):
    made = matcher(grammar)
    data = text.encode()
    return made.try_consume_tokens(list(data)) == len(data) and made.is_accepting()


def begins(grammar, text):
    return matcher(grammar).try_consume_tokens(list(text.encode())) == len(text.encode())


def calls_in(tool_format, text, asked):
    parser = call_parser(tool_format, asked)
    pieces = parser.push(text) + parser.finish()
    assert not parser.has_incomplete_call
    calls = {}
    for piece in pieces:
        if isinstance(piece, ToolCallDelta):
            name, arguments = calls.get(piece.index, ("", ""))
            calls[piece.index] = (name + piece.name, arguments + piece.arguments)
    return "".join(piece for piece in pieces if isinstance(piece, str)), [*calls.values()]


@pytest.mark.parametrize("is_control", [False, True])
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "options",
    [{"choice": "required"}, {"choice": "named", "name": "weather"}, {"choice": "required", "is_parallel": False}],
)
def test_an_answer_that_must_call_does(name, options, is_control):
    tool_format, asked = FORMATS[name], tools(**options)
    control = GEMMA4_CONTROL if name == "gemma4" else CONTROL
    grammar = tools_grammar(tool_format, asked, control.get if is_control else no_control)
    texts = [text for seed in range(12) if (text := walk(grammar, seed, control=control)) is not None]
    assert len(texts) > 6
    for text in texts:
        rest, calls = calls_in(tool_format, text, asked)
        assert rest == ""
        assert calls
        assert len(calls) == 1 or (asked.choice == "required" and asked.is_parallel and tool_format.is_parallel)
        for called, arguments in calls:
            jsonschema.validate(json.loads(arguments), SCHEMAS[called])
            assert asked.name in (None, called)


CALL = {
    "hermes": '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>',
    "generic": '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>',
    "llama3": '{"name": "clock", "parameters": {}}',
    "mistral": '[TOOL_CALLS] [{"name": "clock", "arguments": {}}, {"name": "weather", "arguments": {"city": "Rome"}}]',
    "gemma4": '<|tool_call>call:weather{city:<|"|>Rome<|"|>,days:3}<tool_call|>',
}


@pytest.mark.parametrize("name", FORMATS)
def test_an_answer_that_may_call_may_be_any_text(name):
    grammar = tools_grammar(FORMATS[name], tools(), no_control)
    for text in ["Hello.\n\n", "a < b, {'x': 1}", '{"nam": 1}', "<tool_cal", "[TOOL] [{}]", CALL[name]]:
        assert accepts(grammar, text), text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hermes", '<tool_call>\n{"name": "alarm'),
        ("hermes", 'Well: <tool_call>\n{"name": "clock", "arguments": {"x"'),
        ("hermes", '<tool_call>\n{"name": "weather", "arguments": {"city": 1'),
        ("hermes", "<tool_call> no"),
        ("llama3", '{"name": "alarm'),
        ("llama3", '\n {"name": "weather", "parameters": {}}'),
        ("mistral", "[TOOL_CALLS] {"),
        ("gemma4", "<|tool_call>call:alarm"),
        ("gemma4", "Well: <|tool_call>call:clock{x"),
        ("gemma4", "<|tool_call>call:weather{city:1"),
        ("gemma4", '<|tool_call>call:weather{city:<|"|>Istanbul'),
        ("gemma4", '<|tool_call>call:weather{city:<|"|>Rome<|"|>,days:10'),
        ("gemma4", "<|tool_call>call:weather{days:1}"),
    ],
)
def test_a_call_that_has_begun_must_be_a_valid_call(name, text):
    grammar = tools_grammar(FORMATS[name], tools(), no_control)
    assert not begins(grammar, text)
    assert begins(grammar, CALL[name][:-1])


@pytest.mark.parametrize("name", ["hermes", "generic", "mistral", "gemma4"])
def test_after_the_last_call_none_may_begin(name):
    grammar = tools_grammar(FORMATS[name], tools(is_parallel=False), no_control)
    call = '[TOOL_CALLS] [{"name": "clock", "arguments": {}}]' if name == "mistral" else CALL[name]
    opening = FORMATS[name].syntax.opening
    assert accepts(grammar, f"Hm.\n{call}\nDone. {opening[:-1]}")
    assert not begins(grammar, f"Hm.\n{call}\nDone. {opening}")


def test_text_may_come_before_calls_and_between_them():
    grammar = tools_grammar(HERMES, tools(), no_control)
    assert accepts(grammar, f"Let me see.\n{CALL['hermes']}\nAnd\n{CALL['hermes']} Done.")


def test_an_answer_without_calls_may_have_a_grammar():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    grammar = tools_grammar(HERMES, tools(), no_control, content=Grammar("json_schema", json.dumps(schema)))
    assert accepts(grammar, '{"a": 1}')
    assert accepts(grammar, CALL["hermes"])
    assert not begins(grammar, '{"b": 1}')
    assert not begins(grammar, "Hello")
    choice = tools_grammar(HERMES, tools(), no_control, content=Grammar("choice", '["yes", "no"]'))
    assert accepts(choice, "yes")
    with pytest.raises(BadRequest, match="can't be combined with tools"):
        tools_grammar(HERMES, tools(), no_control, content=Grammar("lark", "start: /a/"))


@pytest.mark.parametrize("is_control", [False, True])
@pytest.mark.parametrize("is_reasoning_open", [False, True])
def test_reasoning_may_come_before_required_calls(is_control, is_reasoning_open):
    asked = tools(choice="required", is_parallel=False)
    grammar = tools_grammar(
        HERMES, asked, CONTROL.get if is_control else no_control, reasoning=THINK, is_reasoning_open=is_reasoning_open
    )
    if not is_control:
        assert accepts(grammar, ("" if is_reasoning_open else "<think>") + f"Hm.\n</think>\n\n{CALL['hermes']}")
    for seed in range(8):
        text = walk(grammar, seed)
        if text is not None:
            splitter = ReasoningSplitter(THINK, is_open=is_reasoning_open)
            answer = splitter.push(text)[1] + splitter.finish()[1]
            assert len(calls_in(HERMES, answer, asked)[1]) == 1


def test_unlisted_properties_are_rejected_and_strict_schemas_are_enforced_fully():
    open_schema = {"name": "f", "parameters": {"properties": {"a": {}}, "additionalProperties": True}}
    hermes = '<tool_call>\n{"name": "f", "arguments": {"b": 1}}\n</tool_call>'
    asked = Tools(functions=[open_schema], choice="required")
    assert accepts(tools_grammar(HERMES, asked, no_control), hermes)
    closed = Tools(functions=[{"name": "f", "parameters": {"properties": {"a": {}}}}], choice="required")
    assert not accepts(tools_grammar(HERMES, closed, no_control), hermes)


def test_what_cannot_be_enforced_is_dropped_and_refused_for_a_strict_tool():
    odd = {"name": "f", "parameters": {"type": "object", "x-unheard-of": 1, "not": {"minProperties": 2}}}
    assert accepts(
        tools_grammar(HERMES, Tools(functions=[odd], choice="required"), no_control),
        '<tool_call>\n{"name": "f", "arguments": {"b": 1}}\n</tool_call>',
    )
    with pytest.raises(BadRequest, match="#/not can't be enforced") as raised:
        tools_grammar(HERMES, Tools(functions=[CLOCK, {**odd, "strict": True}]), no_control)
    assert raised.value.param == "tools[1].function.parameters"


def test_names_that_are_required_and_not_described_may_come():
    function = {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}, "required": ["a", "b"]}}
    grammar = tools_grammar(HERMES, Tools(functions=[function], choice="required"), no_control)
    assert accepts(grammar, '<tool_call>\n{"name": "f", "arguments": {"a": 1, "b": 2}}\n</tool_call>')
