"""The cost of checking a value against a schema: unions of recursive schemas take exponential time.

The walk visits what a validator would visit if no part of the schema decided early, and gives up at a limit.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from llmos.engine.text.schemas.errors import SchemaError
from llmos.engine.text.schemas.references import References, reference_in

_MAX_STEPS = 10_000
_PATTERN_STEPS = 5
"""The steps that a regular expression counts for."""
_HERE = ("anyOf", "oneOf", "allOf")
_HERE_ALONE = ("not", "if", "then", "else")
_OF_ITEMS = ("items", "additionalItems", "unevaluatedItems", "contains")
_OF_PROPERTIES = ("additionalProperties", "unevaluatedProperties")

Visit = tuple[Any, Any]
"""A schema, and a value that is checked against it."""


def is_cheap(schema: Mapping[str, Any], value: Any) -> bool:
    """Return whether a check takes few steps: tens of milliseconds at most."""
    references = References(dict(schema))
    waiting: list[Visit] = [(schema, value)]
    num_steps = 0
    while waiting:
        part, at = waiting.pop()
        num_steps += 1
        if isinstance(part, dict):
            num_steps += _PATTERN_STEPS * (isinstance(at, str) and "pattern" in part)
            num_steps += _PATTERN_STEPS * len(_patterns(part)) * (len(at) if isinstance(at, dict) else 0)
            waiting += _visits(references, part, at)
        if num_steps + len(waiting) > _MAX_STEPS:
            return False
    return True


def _visits(references: References, part: dict[str, Any], at: Any) -> Iterator[Visit]:
    """Yield what checking `at` against a part of the schema leads to."""
    if (reference := reference_in(part)) is not None:
        with suppress(SchemaError):
            yield references.target(references.pointer(reference)), at
    for keyword in _HERE:
        yield from ((each, at) for each in _list(part.get(keyword)))
    yield from ((part[keyword], at) for keyword in _HERE_ALONE if keyword in part)
    yield from ((each, at) for each in _dict(part.get("dependentSchemas")).values())
    yield from ((each, at) for each in _dict(part.get("dependencies")).values())
    if isinstance(at, list):
        listed = [*_list(part.get("prefixItems")), *_list(part.get("items"))]
        yield from zip(listed, at, strict=False)
        for keyword in _OF_ITEMS:
            if isinstance(part.get(keyword), dict):
                yield from ((part[keyword], each) for each in at)
    if isinstance(at, dict):
        properties = _dict(part.get("properties"))
        yield from ((properties[name], each) for name, each in at.items() if name in properties)
        for keyword in _OF_PROPERTIES:
            if isinstance(part.get(keyword), dict):
                yield from ((part[keyword], each) for name, each in at.items() if name not in properties)
        yield from ((each_schema, each) for each_schema in _patterns(part).values() for each in at.values())
        if "propertyNames" in part:
            yield from ((part["propertyNames"], name) for name in at)


def _patterns(part: Mapping[str, Any]) -> dict[str, Any]:
    return _dict(part.get("patternProperties"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
