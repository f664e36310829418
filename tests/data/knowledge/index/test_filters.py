"""Filters on metadata: equal to plain Python, and clear about what is wrong."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.core.errors import BadRequest
from llmos.data.knowledge.index.filters import MAX_COMPARISONS, MAX_DEPTH, MetadataColumns, Value
from support.examples import examples

VALUES: st.SearchStrategy[Value] = st.sampled_from(["a", "b", "", "1", 0, 1, 2, 1.0, 0.5, -3, True, False])
KEYS = st.sampled_from(["x", "y"])
METADATA = st.lists(st.dictionaries(KEYS, VALUES), min_size=1, max_size=6)
COMPARISONS = st.one_of(
    st.builds(
        lambda kind, key, value: {"type": kind, "key": key, "value": value},
        st.sampled_from(["eq", "ne"]),
        KEYS,
        VALUES,
    ),
    st.builds(
        lambda kind, key, value: {"type": kind, "key": key, "value": value},
        st.sampled_from(["gt", "gte", "lt", "lte"]),
        KEYS,
        VALUES.filter(lambda value: not isinstance(value, bool)),
    ),
    st.builds(
        lambda kind, key, value: {"type": kind, "key": key, "value": value},
        st.sampled_from(["in", "nin"]),
        KEYS,
        st.lists(VALUES, max_size=3),
    ),
)
FILTERS = st.recursive(
    COMPARISONS,
    lambda parts: st.builds(
        lambda kind, filters: {"type": kind, "filters": filters},
        st.sampled_from(["and", "or"]),
        st.lists(parts, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


@settings(max_examples=examples(300), deadline=None)
@given(METADATA, FILTERS)
def test_a_filter_fits_what_plain_python_says(metadata: list[dict[str, Value]], filters: dict[str, Any]) -> None:
    assert MetadataColumns(metadata).matching(filters).tolist() == [fits(each, filters) for each in metadata]


def fits(metadata: Mapping[str, Value], filters: Mapping[str, Any]) -> bool:
    kind = filters["type"]
    if kind in ("and", "or"):
        return (all if kind == "and" else any)(fits(metadata, part) for part in filters["filters"])
    if filters["key"] not in metadata:
        return kind in ("ne", "nin")
    found, value = metadata[filters["key"]], filters["value"]
    match kind:
        case "eq" | "ne":
            return is_same(found, value) == (kind == "eq")
        case "in" | "nin":
            return any(is_same(found, each) for each in value) == (kind == "in")
    if isinstance(found, bool) or isinstance(found, str) != isinstance(value, str):
        return False
    return bool({"gt": found > value, "gte": found >= value, "lt": found < value, "lte": found <= value}[kind])


def is_same(one: Value, other: Value) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def nested(depth: int) -> object:
    filters: object = {"type": "eq", "key": "x", "value": 1}
    for _ in range(depth):
        filters = {"type": "and", "filters": [filters]}
    return filters


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ("x", "filters must be an object"),
        ([], "filters must be an object"),
        ({}, r"filters\.type must be one of eq, ne, gt"),
        ({"type": ["eq"], "key": "x", "value": 1}, r"filters\.type must be one of"),
        ({"type": "like", "key": "x", "value": "a%"}, r"filters\.type must be one of"),
        ({"type": "eq", "key": "x"}, "filters must have the fields key, type, value; it has key, type"),
        ({"type": "eq", "key": "x", "value": 1, "boost": 2}, "it has boost, key, type, value"),
        ({"type": "eq", "key": 1, "value": 1}, r"filters\.key must be a text"),
        ({"type": "eq", "key": "x", "value": None}, r"filters\.value must be a text, a number or a boolean"),
        ({"type": "eq", "key": "x", "value": float("nan")}, r"filters\.value must be a finite number"),
        ({"type": "lt", "key": "x", "value": True}, r"filters\.value must be a text or a number for lt"),
        ({"type": "in", "key": "x", "value": "abc"}, r"filters\.value must be a list"),
        ({"type": "in", "key": "x", "value": ["a", {}]}, r"filters\.value\[1\] must be a text, a number"),
        ({"type": "in", "key": "x", "value": [1] * MAX_COMPARISONS}, "may have 1,000 comparisons and values"),
        ({"type": "or", "filters": []}, r"filters\.filters must be a list of filters, with one at least"),
        ({"type": "or", "filters": [{"type": "eq", "key": "x", "value": 1}, 3]}, r"filters\.filters\[1\] must be an"),
        (nested(MAX_DEPTH), "filters may be 16 deep"),
        (nested(100_000), "filters may be 16 deep"),
    ],
)
def test_a_wrong_filter_names_its_place(filters: object, message: str) -> None:
    with pytest.raises(BadRequest, match=message) as raised:
        MetadataColumns([{"x": 1}]).matching(filters)
    assert raised.value.param == "filters"
    assert len(str(raised.value)) < 500


def test_filters_may_be_as_deep_as_the_limit() -> None:
    assert MetadataColumns([{"x": 1}]).matching(nested(MAX_DEPTH - 1)).tolist() == [True]


def test_keys_that_no_document_has_take_no_memory() -> None:
    columns = MetadataColumns([{"x": 1}])
    for number in range(100):
        columns.matching({"type": "eq", "key": f"unknown{number}", "value": 1})
    assert not columns._columns
