"""Calls are parsed out of a model's text, whatever pieces it comes in; text that only looks like a call stays text."""

import json
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmos.engine.messages import ToolCallDelta
from llmos.engine.text.tools.gemma4 import GEMMA4
from llmos.engine.text.tools.generic import GENERIC
from llmos.engine.text.tools.hermes import HERMES
from llmos.engine.text.tools.llama3 import LLAMA3
from llmos.engine.text.tools.mistral import MISTRAL
from llmos.engine.text.tools.parser import CallParser, CallSyntax

NAMES = ["f", "rain"]
JSON_FORMATS = {"hermes": HERMES, "llama3": LLAMA3, "mistral": MISTRAL, "generic": GENERIC}
FORMATS = {**JSON_FORMATS, "gemma4": GEMMA4}
SYNTAXES = {name: each.syntax for name, each in FORMATS.items()}


def read(syntax: CallSyntax, pieces, max_calls=None):
    """Return the text, the calls as (name, arguments), and whether one of them is incomplete."""
    parser = CallParser(syntax, NAMES, max_calls=max_calls)
    parts = [piece for text in pieces for piece in parser.push(text)] + parser.finish()
    calls = []
    for piece in parts:
        if isinstance(piece, ToolCallDelta):
            if piece.name:
                assert piece.index == len(calls)
                assert piece.id.startswith("call_")
                calls.append([piece.name, ""])
            assert piece.index == len(calls) - 1, "a call ends before the next begins"
            calls[-1][1] += piece.arguments
    assert parser.num_calls == len(calls)
    return "".join(p for p in parts if isinstance(p, str)), [tuple(call) for call in calls], parser.has_incomplete_call


WEATHER = '{"city": "Z\\u00fcrich \\"}", "days": [1, -2.5e3, true, null, {}]}'
CASES = [
    # input, remaining text, calls
    ("hermes", '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>', "", [("f", "{}")]),
    ("hermes", f'<tool_call>{{"name":"rain","arguments":{WEATHER}}}</tool_call>', "", [("rain", WEATHER)]),
    ("hermes", '<tool_call>\n{"arguments": {"a": 1}, "name": "f"}\n</tool_call>', "", [("f", '{"a": 1}')]),
    ("hermes", 'Let me.\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n', "Let me.", [("f", "{}")]),
    (
        "hermes",
        '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n<tool_call>\n{"name": "f", "arguments": {"a": 2}}\n'
        "</tool_call>",
        "",
        [("f", "{}"), ("f", '{"a": 2}')],
    ),
    ("hermes", '<tool_call>{"name": "f", "arguments": {}}</tool_call>\nDone.', "\nDone.", [("f", "{}")]),
    ("hermes", '<tool_call>{"name": "f", "arguments": {}}', "", [("f", "{}")]),
    ("hermes", '<tool_call>{"name": "f", "arguments": {}}</tool', "</tool", [("f", "{}")]),
    ("hermes", '<tool_call>{"name": "f", "arguments": {}} then', " then", [("f", "{}")]),
    ("hermes", '<tool_call> <tool_call>{"name": "f", "arguments": {}}</tool_call>', "<tool_call> ", [("f", "{}")]),
    ("generic", '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>', "", [("f", "{}")]),
    ("llama3", '{"name": "f", "parameters": {"a": 1}}', "", [("f", '{"a": 1}')]),
    ("llama3", '<|python_tag|>{"type": "function", "name": "f", "parameters": {}}', "", [("f", "{}")]),
    ("llama3", ' \n{"name": "f", "parameters": {}}\n', "", [("f", "{}")]),
    ("llama3", '{"name": "f", "parameters": {}}; {"name": "f", "parameters": {}}', "", [("f", "{}"), ("f", "{}")]),
    ("llama3", '{"name": "f", "parameters": {}}; no', "; no", [("f", "{}")]),
    (
        "mistral",
        '[TOOL_CALLS] [{"name": "f", "arguments": {"a": "]"}, "id": "abcdefghi"}, {"name": "f", "arguments": {}}]',
        "",
        [("f", '{"a": "]"}'), ("f", "{}")],
    ),
    ("mistral", '[TOOL_CALLS][{"name": "f", "arguments": {}}]', "", [("f", "{}")]),
    ("gemma4", "<|tool_call>call:f{}<tool_call|>", "", [("f", "{}")]),
    (
        "gemma4",
        'Let me.\n<|tool_call>call:rain{city:<|"|>Zürich "}<|<|"|>,days:[1,-2.5e3,true,null,{}]}<tool_call|>',
        "Let me.",
        [("rain", '{"city": "Zürich \\"}<|", "days": [1, -2.5e3, true, null, {}]}')],
    ),
    (
        "gemma4",
        '<|tool_call>call:f{a:1}<tool_call|><|tool_call>call:f{<|"|>b:c<|"|>:{"d":"e\\n"}}<tool_call|>Done.',
        "Done.",
        [("f", '{"a": 1}'), ("f", '{"b:c": {"d": "e\\n"}}')],
    ),
    ("gemma4", "<|tool_call> call: f { a : [ 1 , 2 ] } <tool_call|>", "", [("f", '{"a": [1, 2]}')]),
    ("gemma4", "<|tool_call>call:f{a:None,b:True}", "", [("f", '{"a": null, "b": true}')]),
]  # fmt: skip
LOOKALIKES = [
    ("hermes", ""),
    ("hermes", "no call at all"),
    ("hermes", "a < b, <tool, <tool_cal>, \n\n<tool_call"),
    ("hermes", " \n "),
    ("hermes", '<tool_call>\n{"name": "unknown", "arguments": {}}\n</tool_call>\n'),
    ("hermes", '<tool_call>\n{"name": "f", "arguments": "{}"}\n</tool_call>'),
    ("hermes", '<tool_call>\n{"name": "f"}\n</tool_call>'),
    ("hermes", '<tool_call>\n{"name": "f", "name": "f", "arguments": {}}\n</tool_call>'),
    ("hermes", '<tool_call>\n{"name": "f", "more": 1, "arguments": {}}\n</tool_call>'),
    ("hermes", "<tool_call>\n{'name': 'f', 'arguments': {}}\n</tool_call>"),
    ("hermes", '<tool_call>\n{"arguments": {"a": 01}, "name": "f"}\n</tool_call>'),
    ("hermes", '<tool_call>\n{"name": "f", "argum'),
    ("llama3", '{"name": "unknown", "parameters": {}}'),
    ("llama3", '{"answer": 42}'),
    ("llama3", '\n The call is {"name": "f", "parameters": {}}'),
    ("llama3", "<|python_tag|>print(1)"),
    ("mistral", '[TOOL_CALLS] {"name": "f", "arguments": {}}'),
    ("mistral", '[TOOL_CALLS] [{"name": "g", "arguments": {}}]'),
    ("gemma4", "<|tool_call>call:unknown{}<tool_call|>"),
    ("gemma4", "<|tool_call>f{a:1}<tool_call|>"),
    ("gemma4", "<|tool_call>call:f(a=1)<tool_call|>"),
    ("gemma4", '<|tool_call>{"name": "f", "arguments": {}}<tool_call|>'),
    ("gemma4", "a <|tool_cal> <tool_call> call:f{}"),
    ("gemma4", "<|tool_call>call:f"),
]


def cut(text, positions):
    positions = sorted({0, len(text), *(position for position in positions if position <= len(text))})
    return [text[a:b] for a, b in pairwise(positions)]


@pytest.mark.parametrize(("name", "text", "rest", "calls"), CASES)
def test_calls_are_parsed_at_once_and_letter_by_letter(name, text, rest, calls):
    assert read(SYNTAXES[name], [text]) == (rest, calls, False)
    assert read(SYNTAXES[name], text) == (rest, calls, False)


@pytest.mark.parametrize(("name", "text"), LOOKALIKES)
def test_text_that_only_looks_like_a_call_stays_text(name, text):
    assert read(SYNTAXES[name], [text]) == (text, [], False)
    assert read(SYNTAXES[name], text) == (text, [], False)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(SYNTAXES)),
    st.lists(
        st.one_of(
            st.sampled_from([text for _, text, _, _ in CASES] + [text for _, text in LOOKALIKES]),
            st.sampled_from(
                ["<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|python_tag|>", "\n", " ", "{", "}", ";"]
            ),
            st.text(max_size=5),
        ),
        max_size=6,
    ),
    st.lists(st.integers(0, 300), max_size=20),
)
@example("hermes", ["<tool_call><tool_call>{"], [3])
def test_the_pieces_make_no_difference(name, parts, positions):
    text = "".join(parts)
    assert read(SYNTAXES[name], cut(text, positions)) == read(SYNTAXES[name], [text])


@given(st.text(alphabet='<tool_cal>/{}[]" \n:,;nmefarguts01', max_size=60), st.sampled_from(sorted(SYNTAXES)))
def test_text_without_a_call_is_unchanged(text, name):
    rest, calls, _ = read(SYNTAXES[name], text)
    assert calls or rest == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(JSON_FORMATS)),
    st.lists(st.tuples(st.sampled_from(NAMES), st.dictionaries(st.text(max_size=5), JSON)), min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from([None, 1, 2]),
)  # fmt: skip
def test_calls_in_the_syntax_of_a_format_are_parsed(name, calls, is_ascii, indent):
    texts = [json.dumps(arguments, ensure_ascii=is_ascii, indent=indent) for _, arguments in calls]
    if name == "llama3":
        text = "; ".join(f'{{"name": "{each}", "parameters": {t}}}' for (each, _), t in zip(calls, texts, strict=True))
    else:
        written = [f'{{"name": "{each}", "arguments": {t}}}' for (each, _), t in zip(calls, texts, strict=True)]
        text = (
            f"[TOOL_CALLS] [{', '.join(written)}]"
            if name == "mistral"
            else "\n".join(f"<tool_call>\n{each}\n</tool_call>" for each in written)
        )
    assert read(SYNTAXES[name], text) == ("", [(each, t) for (each, _), t in zip(calls, texts, strict=True)], False)


def test_arguments_are_streamed():
    parser = CallParser(HERMES.syntax, NAMES)
    assert parser.push('Hi\n<tool_call>\n{"name": "f", "argume') == ["Hi"]
    [first] = parser.push('nts": {"a')
    assert (first.index, first.name, first.arguments) == (0, "f", '{"a')
    assert parser.push('": 1') == [ToolCallDelta(0, arguments='": 1')]
    assert parser.push("}") == [ToolCallDelta(0, arguments="}")]
    assert parser.push("}\n</tool_call>") == []


@pytest.mark.parametrize("end", ["", ' "b": ]', ' "b": 1}"c"'])
def test_a_call_without_an_end_is_incomplete_and_nothing_of_it_is_lost(end):
    text, [(name, arguments)], has_incomplete_call = read(
        HERMES.syntax, f'<tool_call>{{"name": "f", "arguments": {{"a": 1,{end}'
    )
    assert has_incomplete_call
    assert name == "f"
    assert arguments + text == f'{{"a": 1,{end}'


def test_calls_after_the_last_allowed_one_stay_text():
    call = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    assert read(HERMES.syntax, [f"{call}\n{call}"], max_calls=1) == (f"\n{call}", [("f", "{}")], False)


ANSWERS = {
    "hermes": '<tool_call>\n{"name": "f", "arguments": {"a": [1, "x"]}}\n</tool_call>\n'
    '<tool_call>\n{"name": "rain", "arguments": {}}\n</tool_call>',
    "generic": '<tool_call>\n{"name": "rain", "arguments": {}}\n</tool_call>',
    "llama3": '{"name": "f", "parameters": {"a": {}}}',
    "mistral": '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}}, {"name": "rain", "arguments": {}}]',
    "gemma4": '<|tool_call>call:f{a:[1,<|"|>x<|"|>]}<tool_call|><|tool_call>call:rain{}<tool_call|>',
}


@pytest.mark.parametrize("before", ["", "Let me see.\n"])
@pytest.mark.parametrize("must_call", [False, True])
@pytest.mark.parametrize("name", ANSWERS)
def test_a_cut_answer_has_nothing_of_a_calls_syntax_in_its_text(name, must_call, before):
    if before and (must_call or not SYNTAXES[name].opening):
        pytest.skip("this answer has no text before its calls")
    answer = before + ANSWERS[name]
    for length in range(len(before) + 2, len(answer) + 1):
        for pieces in ([answer[:length]], answer[:length]):
            parser = CallParser(SYNTAXES[name], NAMES, must_call=must_call)
            parts = [part for piece in pieces for part in parser.push(piece)] + parser.finish(is_cut=True)
            text = "".join(part for part in parts if isinstance(part, str))
            assert text.strip() == before.strip(), answer[:length]


@pytest.mark.parametrize("text", ["1 <", "if a <b", "x <= y", "a [", "a [0] <tools", "{", "", " "])
def test_a_cut_answer_keeps_text_that_is_no_call(text):
    for name in ("hermes", "mistral"):
        parser = CallParser(SYNTAXES[name], NAMES)
        assert "".join([*parser.push(text), *parser.finish(is_cut=True)]) == text
