"""Objects: which names may come, which must, and the schema of each."""

import re
from typing import Any

from llmos.engine.text.schemas import formats
from llmos.engine.text.schemas.arrays import APPLICATORS
from llmos.engine.text.schemas.errors import SchemaError
from llmos.engine.text.schemas.keywords import has_type, json_name, named_schemas, required_names
from llmos.engine.text.schemas.patterns import UnsupportedPattern, translate_pattern
from llmos.engine.text.schemas.preparation import Preparation, Schema
from llmos.engine.text.schemas.scalars import count

_MAX_DEPENDENCIES = 5
"""Each one doubles the number of cases."""


def prepare_object(preparation: Preparation, schema: Schema, types: list[str] | None, path: str) -> Schema:
    if not has_type(types, "object"):
        return {}
    part: Schema = {}
    if schema.get("properties"):
        part["properties"] = {
            name: _property(preparation, each, where) for name, each, where in named_schemas(schema, "properties", path)
        }
    others = _others(schema, path)
    if others is not None:
        part["additionalProperties"] = preparation.prepare(*others)
    _pattern_properties(preparation, schema, part, path)
    if schema.get("propertyNames") is not None:
        _constrain_names(preparation, schema["propertyNames"], part, f"{path}/propertyNames")
    _require(preparation, required_names(schema, path), part, path)
    _count_properties(preparation, schema, part, path)
    return part


def _property(preparation: Preparation, schema: Any, path: str) -> Schema | bool:
    if schema is None:
        return True
    if path.endswith("/properties/required") and isinstance(schema, list) and schema:
        raise SchemaError("lists names inside of `properties`: move `required` out, beside `properties`", path)
    return preparation.prepare(schema, path)


def _others(schema: Schema, path: str) -> tuple[Any, str] | None:
    """Return the schema of the properties that aren't listed, with its path."""
    if schema.get("additionalProperties") is not None:
        return schema["additionalProperties"], f"{path}/additionalProperties"
    if schema.get("unevaluatedProperties") is not None and not any(key in schema for key in APPLICATORS):
        return schema["unevaluatedProperties"], f"{path}/unevaluatedProperties"
    return None


def _pattern_properties(preparation: Preparation, schema: Schema, part: Schema, path: str) -> None:
    patterns: Schema = {}
    for pattern, each, where in named_schemas(schema, "patternProperties", path):
        expression = _single_pattern(preparation, pattern, where)
        if expression is None:
            part.pop("additionalProperties", None)  # names that match the pattern must stay allowed
        else:
            patterns[expression] = preparation.prepare(each, where)
    if patterns:
        part["patternProperties"] = patterns
        preparation.add_site(f"{path}/patternProperties", part, "patternProperties")


def _single_pattern(preparation: Preparation, pattern: str, path: str) -> str | None:
    try:
        expressions = translate_pattern(pattern)
    except UnsupportedPattern as error:
        preparation.drop(path, f"{error}, which can't be enforced")
        return None
    if len(expressions) > 1:
        preparation.drop(path, "has a look-ahead, which can't be enforced for names")
        return None
    return expressions[0]


def _constrain_names(preparation: Preparation, names: Any, part: Schema, path: str) -> None:
    """Enforce a schema for names: of a list of values, or with one expression."""
    try:
        names, _ = preparation.references.resolve(names)
    except SchemaError as error:
        return preparation.drop(path, error.reason)
    if names is True or names == []:
        return None
    if names is False:
        part["maxProperties"] = 0
        return None
    if not isinstance(names, dict):
        raise SchemaError(f"must be a JSON schema; this is {json_name(names)}", path)
    others = part.get("additionalProperties", True)
    if others is False and not part.get("properties"):
        return None
    allowed = [names["const"]] if "const" in names else names.get("enum")
    if isinstance(allowed, list):
        return _allow_names(preparation, [each for each in allowed if isinstance(each, str)], part, path)
    constraints = {"pattern", "format", "minLength", "maxLength"} & names.keys()
    if constraints == {"format"} and names["format"] not in formats.PATTERNS:
        constraints = set()
    unknown = {"not", "allOf", "anyOf", "oneOf", "$ref", "if"} & names.keys()
    if not constraints and not unknown:
        return None
    expression = None if unknown or len(constraints) > 1 + ("maxLength" in constraints) else _name_expression(names)
    if expression is None or part.get("patternProperties"):
        return preparation.drop(path, "can't be enforced: give it one `pattern`, or an `enum`")
    for name in part.get("properties", {}):
        if not _matches(names, name):
            part["properties"][name] = False
    if others is not False:
        part["patternProperties"], part["additionalProperties"] = {expression: others}, False
        preparation.add_site(path, part, "patternProperties")
    return None


def _name_expression(names: Schema) -> str | None:
    if "minLength" in names or "maxLength" in names:
        if "pattern" in names or "format" in names:
            return None
        low, high = names.get("minLength", 0), names.get("maxLength", "")
        return f"^(?s:.{{{low},{high}}})$" if all(isinstance(n, int) or n == "" for n in (low, high)) else None
    if "format" in names:
        return formats.PATTERNS[names["format"]]
    try:
        expressions = translate_pattern(names["pattern"])
    except (UnsupportedPattern, TypeError):
        return None
    return expressions[0] if len(expressions) == 1 else None


def _matches(names: Schema, name: str) -> bool:
    """Return whether a listed name follows the schema of names. False where that isn't certain."""
    if not names.get("minLength", 0) <= len(name) <= names.get("maxLength", len(name)):
        return False
    pattern = names.get("pattern", formats.PATTERNS.get(names.get("format", ""), ""))
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return False


def _allow_names(preparation: Preparation, allowed: list[str], part: Schema, path: str) -> None:
    """Turn a list of names into properties."""
    if part.get("patternProperties"):
        return preparation.drop(path, "can't be enforced beside `patternProperties`")
    listed, others = part.get("properties", {}), part.get("additionalProperties", True)
    properties = {name: each if name in allowed else False for name, each in listed.items()}
    part["properties"] = properties | {name: others for name in allowed if name not in listed and others is not False}
    part["additionalProperties"] = False
    return None


def _require(preparation: Preparation, names: list[str], part: Schema, path: str) -> None:
    listed = part.get("properties", {})
    kept = [
        name
        for name in names
        if listed.get(name, True) is not False
        and (name in listed or part.get("patternProperties") or part.get("additionalProperties") is not False)
    ]
    if len(kept) < len(names):
        missing = next(name for name in names if name not in kept)
        preparation.drop(f"{path}/required", f"names {missing!r:.60}, which the schema doesn't allow")
    if kept:
        part["required"] = kept


def _count_properties(preparation: Preparation, schema: Schema, part: Schema, path: str) -> None:
    listed, required = part.get("properties", {}), part.get("required", [])
    least, most = (count(preparation, schema, key, path) for key in ("minProperties", "maxProperties"))
    if least and least > len(required):
        if least > 1:
            reason = "above 1 can't be enforced, since a name may come twice; name them in `required`"
            preparation.drop(f"{path}/minProperties", reason)
        else:
            part["minProperties"] = least
    if most == 0:
        part["properties"], part["additionalProperties"] = dict.fromkeys(listed, False), False
        part.pop("patternProperties", None)
        most = None
    is_closed = part.get("additionalProperties") is False and not part.get("patternProperties")
    if most is not None and not (is_closed and most >= len(listed)):
        if most > 1 and not set(listed) <= set(required):
            preparation.drop(f"{path}/maxProperties", "can't be enforced beside properties that may be left out")
        else:
            part["maxProperties"] = most
    preparation.add_site(path, part, "minProperties", "maxProperties")


def prepare_dependencies(preparation: Preparation, schema: Schema, path: str) -> list[Schema]:
    """Return what a property requires once it is there, as schemas that must all hold."""
    cases: list[Schema] = []
    for keyword in ("dependentRequired", "dependentSchemas", "dependencies"):
        for name, wanted, where in named_schemas(schema, keyword, path):
            then = {"required": wanted} if isinstance(wanted, list) else wanted
            absent: Schema = {"properties": {name: False}}
            cases.append({"anyOf": [absent, preparation.prepare(then, where)]})
    if len(cases) > _MAX_DEPENDENCIES:
        preparation.drop(f"{path}/dependentRequired", f"has more than {_MAX_DEPENDENCIES} names to be enforced")
        return []
    return cases


def prepare_unevaluated(preparation: Preparation, schema: Schema, path: str) -> list[Schema]:
    """Return the constraint on properties that no part of the schema names, as far as that is certain."""
    value = schema.get("unevaluatedProperties")
    if value in (None, True, {}) or not any(key in schema for key in APPLICATORS):
        return []
    names = _known_names(preparation, schema, 0)
    if names is None or value is not False:
        preparation.drop(f"{path}/unevaluatedProperties", "can't be enforced here: use `additionalProperties`")
        return []
    return [{"properties": dict.fromkeys(names, True), "additionalProperties": False}]


def _known_names(preparation: Preparation, schema: Any, depth: int) -> list[str] | None:
    """Return the names of all properties of a schema and of those that it combines, None if that isn't certain."""
    if schema in (True, {}):
        return []
    open_keywords = ("anyOf", "oneOf", "if", "not", "patternProperties", "dependentSchemas")
    if not isinstance(schema, dict) or depth > 16 or any(key in schema for key in open_keywords):
        return None
    if schema.get("additionalProperties") not in (None, False):
        return None
    names = [*schema["properties"]] if isinstance(schema.get("properties"), dict) else []
    parts = [*(schema["allOf"] if isinstance(schema.get("allOf"), list) else [])]
    if isinstance(schema.get("$ref"), str):
        try:
            parts.append(preparation.references.target(preparation.references.pointer(schema["$ref"])))
        except SchemaError:
            return None
    for each in parts:
        more = _known_names(preparation, each, depth + 1)
        if more is None:
            return None
        names += more
    return list(dict.fromkeys(names))
