"""Constructors of the grammars that an answer can be constrained to."""

from collections.abc import Mapping
from typing import Any

import msgspec

from llmos.core.errors import BadRequest
from llmos.engine.messages import Grammar


def json_object(field: str) -> Grammar:
    """Return the grammar of any JSON object. `field`: the request's field, for error messages."""
    return Grammar("json_object", field=field)


def json_schema(schema: Mapping[str, Any], field: str) -> Grammar:
    """Return the grammar of JSON that follows the schema. `field`: the request's field, for error messages."""
    return Grammar("json_schema", msgspec.json.encode(schema).decode(), field)


def one_of(
    field: str,
    *,
    schema: Mapping[str, Any] | None,
    is_json_object: bool,
    regex: str | None,
    choice: list[str] | None,
    lark: str | None,
) -> Grammar:
    """Return the grammar for the one constraint that is given. Raises BadRequest for none, and for several."""
    grammars = [
        *([json_schema(schema, field)] if schema is not None else []),
        *([json_object(field)] if is_json_object else []),
        *([Grammar("regex", regex, field)] if regex is not None else []),
        *([Grammar("choice", msgspec.json.encode(choice).decode(), field)] if choice is not None else []),
        *([Grammar("lark", lark, field)] if lark is not None else []),
    ]
    if len(grammars) != 1:
        raise BadRequest(f"`{field}` accepts exactly one of its fields; {len(grammars)} are given.", param=field)
    return grammars[0]
