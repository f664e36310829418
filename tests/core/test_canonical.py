"""Canonical JSON: always what the reference implementation of RFC 8785 writes, also where a faster encoder does it."""

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.canonical import canonical, sha256_of
from llmos.core.errors import BadRequest

CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.text(CHARACTERS)
SCALARS = st.none() | st.booleans() | TEXTS | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False)
KEYS = st.text(st.characters(max_codepoint=127)) | TEXTS
VALUES = st.recursive(SCALARS, lambda each: st.lists(each) | st.dictionaries(KEYS, each), max_leaves=20)
EVERY_CHARACTER = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x10FFFF + 1, 7)]))


@given(VALUES)
def test_any_value_is_written_as_the_reference_writes_it(value):
    try:
        expected = rfc8785.dumps(value)
    except rfc8785.CanonicalizationError:  # infinite numbers
        with pytest.raises(BadRequest):
            canonical(value)
    else:
        assert canonical(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        EVERY_CHARACTER,
        {chr(code): code for code in range(128)},
        {"\ufb33": 1, "\U0001f600": 2},  # The second comes first in UTF-16, the first one in UTF-8.
        {"é": [], "e": {}, "": None},
        [2**53 - 1, -(2**53) + 1, 0, -0.0, 1.0, 1e21, 1e-7],
        (1, [True, False]),
    ],
    ids=["characters", "keys", "order", "beyond ascii", "numbers", "tuple"],
)
def test_values_that_encoders_differ_about(value):
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value",
    [2**53, -(2**53), float("inf"), float("nan"), "\ud800", ["\udfff"], {"\ud800": 1}, {1: 2}, b"bytes", object()],
)
def test_a_value_without_a_spelling_is_refused(value):
    with pytest.raises(BadRequest, match="has no canonical JSON"):
        canonical(value)


def test_a_value_that_is_nested_too_deeply_is_refused():
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(BadRequest, match="has no canonical JSON"):
        canonical(value)


def test_the_hash_is_that_of_the_spelling():
    assert sha256_of({"b": 1, "a": "ü"}) == "4e7ff4080b1a00acdaf71eb0cdf2d504aa8068bbb375c002eac2df3f064047a7"
