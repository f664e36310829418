"""Contents of rows: canonical JSON, whatever text and JSON they hold."""

import hashlib

import msgspec
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.core.errors import BadRequest
from llmos.data.datasets.contents import decode_content, encode_content
from llmos.data.datasets.rows import make_row
from support import examples

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant"])},
    optional={
        "content": TEXTS | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}), max_size=2),
        "name": TEXTS,
        "weight": st.floats(0, 1),
        "tool_calls": st.lists(
            st.fixed_dictionaries({"function": st.fixed_dictionaries({"name": TEXTS, "arguments": TEXTS})}), max_size=2
        ),
    },
)


def reference(value):
    """Return the canonical JSON of a value whose whole numbers may be large."""
    if isinstance(value, dict):
        inner = (rfc8785.dumps(key) + b":" + reference(value[key]) for key in sorted(value, key=utf_16))
        return b"{" + b",".join(inner) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(reference, value)) + b"]"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return rfc8785.dumps(float(value) if is_number else value)


def utf_16(key):
    return key.encode("utf-16-be")


@given(messages=st.lists(MESSAGES, max_size=3), tools=st.lists(st.dictionaries(TEXTS, JSON, max_size=3), max_size=2))
@settings(max_examples=examples.examples(150))
def test_a_body_is_the_canonical_json_of_its_content(messages, tools):
    row = make_row("chat", {"messages": messages} | ({"tools": tools} if tools else {}))
    assert make_row("chat", msgspec.json.decode(row.body)) == row
    assert row.body == reference(msgspec.json.decode(row.body))
    assert row.id == hashlib.sha256(row.body).hexdigest()
    assert encode_content(decode_content("chat", row.body)) == row.body


@given(expected=JSON, input=TEXTS)
@settings(max_examples=examples.examples(100))
def test_a_case_expects_any_json(expected, input):
    row = make_row("case", {"input": input, "expected": expected})
    assert make_row("case", msgspec.json.decode(row.body)) == row
    assert row.body == reference({"input": input} | ({} if expected is None else {"expected": expected}))


def test_the_order_of_keys_and_missing_values_make_no_difference():
    first = make_row("chat", {"messages": [{"role": "user", "content": "Hi", "name": None}], "tools": []})
    second = make_row("chat", {"tools": None, "messages": [{"content": "Hi", "role": "user"}]})
    assert first == second


def test_every_text_of_a_conversation_is_mapped():
    call = {"function": {"name": "look_up", "arguments": "a"}}
    parts = [{"type": "text", "text": "b"}, {"type": "image_url", "image_url": {"url": "data:c"}}]
    row = make_row(
        "chat", {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "tool_calls": [call]}]}
    )
    mapped = row.map_texts(str.upper)
    assert row.texts == ["b", "a"]
    assert mapped.texts == ["B", "A"]
    assert b"data:c" in mapped.body
    assert mapped.id != row.id
    assert row.map_texts(str) is row


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        ("chat", {"messages": [{"role": "robot", "content": ""}]}, r"role"),
        ("chat", {"messages": "Hi"}, r"Expected `array`, got `str` - at `\$.messages`"),
        ("text", {"texts": "Hi"}, r"missing required field `text`"),
        ("case", {"input": "1", "expected": 2**60 + 1}, "no canonical JSON"),
        ("letter", {"text": ""}, "It is one of chat, preference, case, text"),
    ],
)
def test_a_wrong_content_is_refused_with_its_field(kind, content, reason):
    with pytest.raises(BadRequest, match=reason):
        make_row(kind, content)
