"""Values of keywords, checked."""

from collections.abc import Iterator
from typing import Any

from llmos.engine.text.schemas.errors import SchemaError
from llmos.engine.text.schemas.references import escape

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_JSON_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


def json_name(value: Any) -> str:
    """Return the kind of a JSON value, with its article."""
    return _JSON_NAMES.get(type(value), "a number")


def types_of(schema: dict[str, Any], path: str) -> list[str] | None:
    """Return the types that a schema lists, None for any. Raises SchemaError."""
    given = schema.get("type")
    if given is None:
        return None
    names: list[str] = []
    for name in given if isinstance(given, list) else [given]:
        known = "null" if name is None else name.lower() if isinstance(name, str) else ""
        if known == "any":
            return None
        if known not in TYPES:
            raise SchemaError(f"is {name!r:.50}; it takes {', '.join(TYPES[:-1])} or {TYPES[-1]}", f"{path}/type")
        names.append(known)
    return names or None


def has_type(types: list[str] | None, *wanted: str) -> bool:
    """Return whether a value of one of these types may come."""
    return types is None or any(name in wanted for name in types)


def named_schemas(schema: dict[str, Any], keyword: str, path: str) -> Iterator[tuple[str, Any, str]]:
    """Yield the schemas under a keyword that maps names to them, with their paths. Raises SchemaError."""
    schemas = schema.get(keyword) or {}  # PHP writes an empty object as []
    if not isinstance(schemas, dict):
        raise SchemaError(
            f"must be an object of names and their schemas; this is {json_name(schemas)}", f"{path}/{keyword}"
        )
    for name, each in schemas.items():
        yield name, each, f"{path}/{keyword}/{escape(name)}"


def listed_schemas(schema: dict[str, Any], keyword: str, path: str) -> list[tuple[Any, str]]:
    """Return the schemas under a keyword that lists them, with their paths. Raises SchemaError."""
    schemas = schema.get(keyword) or []
    if not isinstance(schemas, list):
        raise SchemaError(f"must be an array of schemas; this is {json_name(schemas)}", f"{path}/{keyword}")
    return [(each, f"{path}/{keyword}/{i}") for i, each in enumerate(schemas)]


def required_names(schema: dict[str, Any], path: str) -> list[str]:
    """Return the required names. Raises SchemaError."""
    names = schema.get("required") or []
    if names is True:  # beside a property, as in drafts before 4
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SchemaError("must be an array of names", f"{path}/required")
    return list(dict.fromkeys(names))
