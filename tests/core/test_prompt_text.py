"""Prompts with typed variables: what a file may say, what values they take, and one line for each mistake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import BadRequest
from llmos.core.prompt_text import MAX_BYTES, PromptText
from llmos.core.prompt_variables import json_schema

FILE = """---
shop: {type: string, max_length: 8, description: As customers know it}
tone: {enum: [formal, friendly], default: friendly}
days: {type: integer, minimum: 1, maximum: 30, default: 14}
rate: {type: number, minimum: 0.5, default: 1}
open: {type: boolean, default: true}
code: {pattern: "^[A-Z]{2}$", default: AB}
---
{{shop}} {{ tone }} {{days}} {{rate}} {{open}} {{code}} {{note}}
"""


def parsed(text: str = FILE) -> PromptText:
    return PromptText.parse(text, "prompts/support.md")


def test_a_prompt_is_filled_with_values_and_defaults() -> None:
    filled = parsed().fill({"shop": "Acme", "open": False, "note": 7})
    assert filled == "Acme friendly 14 1 false AB 7"


def test_a_text_without_front_matter_takes_texts_numbers_and_booleans() -> None:
    assert PromptText.parse("{{a}} {{b}} {{c}}").fill({"a": "x", "b": 1.5, "c": True}) == "x 1.5 true"
    assert PromptText.parse("No variables.").fill({}) == "No variables."


def test_a_value_is_never_read_again() -> None:
    assert PromptText.parse("{{a}} {{b}}").fill({"a": "{{b}}", "b": "\\g<0>"}) == "{{b}} \\g<0>"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "prompts/support.md needs the variable 'shop': a text of at most 8 characters."),
        ({"shp": "A"}, "prompts/support.md has no variable 'shp'. Did you mean 'shop'?"),
        ({"shop": 3}, "the variable 'shop' takes a text of at most 8 characters, and got 3."),
        ({"shop": "Acme Corp"}, "takes a text of at most 8 characters, and got 'Acme Corp'."),
        ({"shop": "A", "tone": "formall"}, "takes 'formal' or 'friendly', and got 'formall'. Did you mean 'formal'?"),
        ({"shop": "A", "days": "3"}, "takes a whole number of 1 to 30, and got '3'."),
        ({"shop": "A", "days": True}, "takes a whole number of 1 to 30, and got true."),
        ({"shop": "A", "days": 31}, "takes a whole number of 1 to 30, and got 31."),
        ({"shop": "A", "rate": float("nan")}, "takes a number of at least 0.5, and got nan."),
        ({"shop": "A", "open": 1}, "takes true or false, and got 1."),
        ({"shop": "A", "code": "abc"}, "takes a text that matches ^[A-Z]{2}$, and got 'abc'."),
        ({"shop": "A", "note": None}, "takes a text or a number, and got null."),
        ({"shop": "A", "note": ["x"]}, "and got a list."),
    ],
)
def test_a_wrong_value_is_one_line_that_says_what_is_allowed(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed().fill(values)
    assert caught.value.message.startswith("prompts/support.md")
    assert message in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("front", "message"),
    [
        ("shpo: {type: string}", "declares the variable 'shpo', and its text has no {{shpo}}. Did you mean 'shop'?"),
        ("shop: {typ: string}", "the variable 'shop' has no field typ. Did you mean type?"),
        ("shop: {type: text}", "the variable 'shop': `type`: 'text' is not one of string, integer, number, boolean."),
        ("shop: string", "the variable 'shop' must have fields, such as `{type: string}`."),
        ("shop: {pattern: '(?=a)'}", "the variable 'shop': `pattern` isn't a regular expression of RE2"),
        ("shop: {type: integer, pattern: a}", "`pattern` is for string, and its type is integer."),
        ("shop: {minimum: 1}", "`minimum` is for integer and number, and its type is string."),
        ("shop: {min_length: 3, max_length: 2}", "`min_length` is 3, more than `max_length`, 2."),
        ("shop: {max_length: -1}", "the variable 'shop': `max_length`: Expected `int` >= 0."),
        ("shop: {enum: []}", "`enum` is empty, so that it takes no value."),
        ("shop: {enum: [1, 2]}", "the variable 'shop': `enum` takes a text, and got 1."),
        ("shop: {max_length: 2, default: abc}", "`default` takes a text of at most 2 characters, and got 'abc'."),
        ("shop: {enum: [a, b], default: c}", "`default` takes 'a' or 'b', and got 'c'."),
        ("- shop", "the front matter must name variables, such as `shop: {type: string}`."),
        ("shop: [", "prompts/support.md, line 2"),
        ("a: &a {type: string}\nshop: *a", "prompts/support.md, line 3: aliases (*name) are not allowed."),
        ("shop: {}\nshop: {}", "prompts/support.md, line 3: the key 'shop' stands there twice."),
    ],
)
def test_wrong_front_matter_is_one_line_that_names_the_file(front: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(f"---\n{front}\n---\n{{{{shop}}}}")
    assert caught.value.message.startswith("prompts/support.md")
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_the_types_are_a_json_schema() -> None:
    shop, _, days, *_, note = map(json_schema, parsed().variables.values())
    assert shop == {"type": "string", "maxLength": 8, "description": "As customers know it"}
    assert days == {"type": "integer", "minimum": 1, "maximum": 30, "default": 14}
    assert note == {"type": ["string", "number"]}
    assert parsed().needed == ["shop", "note"]


def test_front_matter_without_an_end_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"line 1: the front matter begins here, and no line --- ends it\."):
        parsed("---\nshop: {}\n{{shop}}")


def test_a_large_text_is_refused() -> None:
    with pytest.raises(BadRequest, match="larger than 256 KB"):
        parsed("é" * (MAX_BYTES // 2 + 1))


@given(st.text(max_size=60), st.text(max_size=20))
def test_what_is_kept_gives_the_same_prompt_again(text: str, value: str) -> None:
    prompt = PromptText.typed(f"{text}{{{{shop}}}}", {"shop": {"default": value}} if value else {})
    kept = prompt.as_json()
    again = PromptText.typed(kept["text"], kept["variables"])
    assert (again.text, again.variables) == (prompt.text, prompt.variables)


@given(st.text(max_size=200))
def test_any_text_is_a_prompt_or_one_line(text: str) -> None:
    message = ""
    try:
        PromptText.parse(text)
    except BadRequest as error:
        message = error.message
    assert "\n" not in message
