"""Finds which values a field accepts, for the error about any other."""

import re
from typing import Any

from msgspec import inspect

_STEP = re.compile(r"\.([^.\[\]]+)|(\[[^\]]*\])")


def allowed_values(kind: type, location: str) -> list[str]:
    """Return the values of the Literal at `location` in `kind`, such as `$.messages[0].role`; none if it isn't one."""
    types = [inspect.type_info(kind)]
    for name, item in _STEP.findall(location):
        types = [inner for each in _alternatives(types) for inner in _inside(each, name, is_item=bool(item))]
    literals = [each for each in _alternatives(types) if isinstance(each, inspect.LiteralType)]
    return [str(value) for literal in literals for value in literal.values]


def _alternatives(types: list[Any]) -> list[Any]:
    """Return the types without the unions and annotations around them."""
    found: list[Any] = []
    for each in types:
        if isinstance(each, inspect.UnionType):
            found += _alternatives(list(each.types))
        elif isinstance(each, inspect.Metadata):
            found += _alternatives([each.type])
        else:
            found.append(each)
    return found


def _inside(kind: Any, name: str, *, is_item: bool) -> list[Any]:
    if is_item and isinstance(kind, inspect.ListType):
        return [kind.item_type]
    if is_item and isinstance(kind, inspect.DictType):
        return [kind.value_type]
    if not is_item and isinstance(kind, inspect.StructType):
        return [each.type for each in kind.fields if each.encode_name == name]
    return []
