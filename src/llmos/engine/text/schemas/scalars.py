"""Strings, numbers, and lists of allowed values."""

from typing import Any

from llmos.engine.text.schemas import formats, numbers
from llmos.engine.text.schemas.errors import SchemaError
from llmos.engine.text.schemas.keywords import has_type, json_name
from llmos.engine.text.schemas.patterns import UnsupportedPattern, translate_pattern
from llmos.engine.text.schemas.preparation import Preparation, Schema

_LONGER_THAN_ANY_ANSWER = 100_000_000
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def count(preparation: Preparation, schema: Schema, keyword: str, path: str) -> int | None:
    """Return the value of a keyword that counts something, None without one that means anything."""
    value = schema.get(keyword)
    if value is None:
        return None
    if not numbers.is_number(value) or value < 0 or value % 1:
        preparation.drop(f"{path}/{keyword}", f"must be a whole number from 0 on; this is {value!r:.50}")
        return None
    if keyword.startswith("max") and value >= _LONGER_THAN_ANY_ANSWER:
        return None
    return int(value)


def prepare_string(preparation: Preparation, schema: Schema, types: list[str] | None, path: str) -> list[Schema]:
    """Return the constraints on a string, as schemas that must all hold."""
    if not has_type(types, "string"):
        return []
    first: Schema = {}
    for keyword in ("minLength", "maxLength"):
        if (value := count(preparation, schema, keyword, path)) is not None and (keyword == "maxLength" or value):
            first[keyword] = value
    expressions = _patterns(preparation, schema, path)
    name = schema.get("format")
    if name in formats.BUILT_IN:
        first["format"] = name
    elif isinstance(name, str) and name in formats.PATTERNS:
        expressions.append(formats.PATTERNS[name])
    parts = [first] if first else []
    for i, expression in enumerate(expressions):
        if i == 0 and first:
            first["pattern"] = expression
        else:
            parts.append({"pattern": expression})
    for part in parts:
        preparation.add_site(path, part, "pattern", "format", "minLength", "maxLength")
    return parts


def _patterns(preparation: Preparation, schema: Schema, path: str) -> list[str]:
    pattern = schema.get("pattern")
    if pattern is None:
        return []
    if not isinstance(pattern, str):
        raise SchemaError(f"must be a string; this is {json_name(pattern)}", f"{path}/pattern")
    try:
        return translate_pattern(pattern)
    except UnsupportedPattern as error:
        preparation.drop(f"{path}/pattern", f"{error}, which can't be enforced")
        return []


def prepare_number(preparation: Preparation, schema: Schema, types: list[str] | None, path: str) -> Schema:
    if not has_type(types, "integer", "number"):
        return {}
    given = {key: schema[key] for key in (*_BOUNDS, "multipleOf") if schema.get(key) is not None}
    for key, value in [*given.items()]:
        if not numbers.is_number(value) and not (key.startswith("exclusive") and isinstance(value, bool)):
            preparation.drop(f"{path}/{key}", f"must be a number; this is {json_name(value)}")
            del given[key]
    is_integer = types is not None and "integer" in types and "number" not in types
    divisor = given.pop("multipleOf", None)
    for key, value in [*given.items()]:
        is_lower = key in ("minimum", "exclusiveMinimum")
        if not isinstance(value, bool) and numbers.is_too_far(value, is_integer=is_integer, is_lower=is_lower):
            _drop_far_bound(preparation, given, key, path)
    part: Schema = {**numbers.lowest_and_highest(given, is_integer=is_integer)}
    if divisor is not None:
        if numbers.holds_multiples_of(divisor, is_integer=is_integer):
            part["multipleOf"] = divisor
        else:
            preparation.drop(f"{path}/multipleOf", f"is {divisor!r:.50}, which is too large or too fine to be enforced")
    preparation.add_site(path, part, *_BOUNDS, "multipleOf")
    return part


def _drop_far_bound(preparation: Preparation, given: dict[str, Any], key: str, path: str) -> None:
    """Leave out a bound beyond 64 bits. A strict schema keeps it: numbers then end at 64 bits."""
    is_lower = key in ("minimum", "exclusiveMinimum")
    if preparation.is_strict and (given[key] < 0) is is_lower:
        return
    preparation.drop(f"{path}/{key}", "is beyond 64 bits, which can't be enforced")
    del given[key]


def prepare_values(preparation: Preparation, schema: Schema, path: str) -> Schema:
    """Return `const` and `enum`."""
    part: Schema = {}
    if "const" in schema:
        if _is_exact(schema["const"]):
            part["const"] = schema["const"]
        else:
            preparation.drop(f"{path}/const", "has a number with too many digits to be enforced")
    values = schema.get("enum")
    if values is None:
        return part
    if not isinstance(values, list):
        raise SchemaError(f"must be an array of values; this is {json_name(values)}", f"{path}/enum")
    if not values:
        preparation.drop(f"{path}/enum", "is empty, so nothing matches it")
    elif not all(_is_exact(value) for value in values):
        preparation.drop(f"{path}/enum", "has a number with too many digits to be enforced")
    else:
        part["enum"] = values
    return part


def _is_exact(value: Any) -> bool:
    """Return whether the numbers in a value survive the grammar library's arithmetic, which is of 64-bit floats."""
    if isinstance(value, dict):
        return all(_is_exact(each) for each in value.values())
    if isinstance(value, list):
        return all(_is_exact(each) for each in value)
    return not isinstance(value, int | float) or (abs(value) < 2**63 and int(float(value)) == int(value))
