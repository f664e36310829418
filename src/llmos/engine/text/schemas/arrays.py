"""Arrays."""

from typing import Any

from llmos.engine.text.schemas.keywords import has_type, listed_schemas
from llmos.engine.text.schemas.preparation import Preparation, Schema
from llmos.engine.text.schemas.scalars import count

APPLICATORS = ("allOf", "anyOf", "oneOf", "if", "not", "$ref", "$dynamicRef", "$recursiveRef")
"""Keywords with further schemas for the same value."""


def prepare_array(preparation: Preparation, schema: Schema, types: list[str] | None, path: str) -> Schema:
    if not has_type(types, "array"):
        return {}
    part: Schema = {}
    first, rest = _items(schema, path)
    if first:
        part["prefixItems"] = [preparation.prepare(each, where) for each, where in first]
    if rest is not None:
        part["items"] = preparation.prepare(*rest)
    for keyword in ("minItems", "maxItems"):
        if (value := count(preparation, schema, keyword, path)) is not None and (keyword == "maxItems" or value):
            part[keyword] = value
    preparation.add_site(path, part, "minItems", "maxItems")
    if schema.get("uniqueItems") is True and part.get("maxItems", 2) > 1:
        preparation.drop(f"{path}/uniqueItems", "can't be enforced")
    if schema.get("contains") is not None and schema.get("minContains") != 0:
        preparation.drop(f"{path}/contains", "can't be enforced")
    return part


def _items(schema: Schema, path: str) -> tuple[list[tuple[Any, str]], tuple[Any, str] | None]:
    """Return the schemas of the first items, and that of the others, with their paths."""
    if isinstance(schema.get("items"), list):  # before draft 2020-12
        first, name = listed_schemas(schema, "items", path), "additionalItems"
    else:
        first, name = listed_schemas(schema, "prefixItems", path), "items"
    if schema.get(name) is None and "unevaluatedItems" in schema and not any(key in schema for key in APPLICATORS):
        name = "unevaluatedItems"
    return first, (schema[name], f"{path}/{name}") if schema.get(name) is not None else None
