"""oneOf, anyOf, allOf, not and if.

The grammar library knows alternatives, but not exclusive ones. A oneOf whose branches can't hold together is an anyOf;
branches with a constant of their own under the same name can't, once that name is required.
"""

import json
from typing import Any

from llmos.engine.text.schemas.errors import SchemaError
from llmos.engine.text.schemas.keywords import listed_schemas, types_of
from llmos.engine.text.schemas.patterns import UnsupportedPattern, translate_pattern
from llmos.engine.text.schemas.preparation import Preparation, Schema

_MAX_DEPTH = 8
_ALTERNATIVES = ("oneOf", "anyOf")
_KIND_OF = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null", list: "array"}


def prepare_unions(preparation: Preparation, schema: Schema, path: str) -> Schema:
    """Return `allOf` and `anyOf`."""
    part: Schema = {}
    if parts := listed_schemas(schema, "allOf", path):
        part["allOf"] = [preparation.prepare(each, where) for each, where in parts]
    for keyword in ("anyOf", "oneOf"):
        if schema.get(keyword) is None:
            continue
        branches = [each for each, _ in listed_schemas(schema, keyword, path)]
        if not branches:
            preparation.drop(f"{path}/{keyword}", "is empty, so nothing matches it")
            continue
        if keyword == "oneOf" or "discriminator" in schema:
            branches = _exclusive(preparation, branches, schema, f"{path}/{keyword}", must=keyword == "oneOf")
        prepared = [preparation.prepare(each, f"{path}/{keyword}/{i}") for i, each in enumerate(branches)]
        if "anyOf" in part:
            part.setdefault("allOf", []).append({"anyOf": prepared})
        else:
            part["anyOf"] = prepared
    return part


def prepare_negations(preparation: Preparation, schema: Schema, types: list[str] | None, path: str) -> list[Schema]:
    """Return what `not` and `if` mean, as schemas that must all hold."""
    parts: list[Schema] = []
    if schema.get("not") is not None:
        negated = _negate(schema["not"], schema, types)
        if negated is None:
            preparation.drop(f"{path}/not", "can't be enforced")
        else:
            parts += [each for each in negated if each]
    if schema.get("if") is not None and (schema.get("then") is not None or schema.get("else") is not None):
        cases = _cases(preparation, schema)
        if cases is None:
            preparation.drop(f"{path}/if", "can't be enforced")
        else:
            parts.append({"anyOf": [preparation.prepare(each, f"{path}/{where}") for each, where in cases]})
    return parts


# --- exclusive alternatives


def _exclusive(preparation: Preparation, branches: list[Any], schema: Schema, path: str, *, must: bool) -> list[Any]:
    """Return the branches with what makes them exclude each other required. `must`: those that don't are an error."""
    if schema.get("type") == "object" and (excluding := _exclude_names(branches)):
        return excluding
    branches = [*branches]
    discriminator = schema.get("discriminator")
    named = discriminator.get("propertyName") if isinstance(discriminator, dict) else None
    objects = [i for i, each in enumerate(branches) if _may_be_object(preparation, each)]
    for name in [named] if isinstance(named, str) else _property_names(preparation, branches, objects):
        values = [_values(preparation, branches[i], name, 0) for i in objects]
        known = [each for each in values if each is not None]
        if len(known) == len(objects) and sum(map(len, known)) == len(set().union(*known)):
            for i in objects:
                branches[i] = _requiring(preparation, branches[i], name, 0)
            break
    if must and not all(_are_disjoint(preparation, a, b) for i, a in enumerate(branches) for b in branches[i + 1 :]):
        preparation.drop(path, "has branches that may hold together, which can't be enforced: use `anyOf`")
    return branches


def _exclude_names(branches: list[Any]) -> list[Any]:
    """Return branches that only require names so that each forbids a name of each other one, [] for other branches."""
    if not all(isinstance(each, dict) and _keys(each) == {"required"} for each in branches):
        return []
    names = [each["required"] for each in branches]
    if not all(isinstance(each, list) and each for each in names):
        return []
    excluding: list[Any] = []
    for own in names:
        others = [[name for name in other if name not in own] for other in names if other is not own]
        if not all(others):
            return []
        excluding.append({"required": own, "properties": dict.fromkeys((other[0] for other in others), False)})
    return excluding


def _keys(schema: Schema) -> set[str]:
    return set(schema) - {"title", "description", "$comment", "type"}


def _target(preparation: Preparation, schema: Any) -> Any:
    try:
        return preparation.references.resolve(schema)[0]
    except SchemaError:
        return schema


def _alternatives(schema: Any) -> list[Any] | None:
    """Return the branches of a schema that is a union, None for others."""
    if isinstance(schema, dict):
        for keyword in _ALTERNATIVES:
            if isinstance(schema.get(keyword), list) and schema[keyword]:
                return [*schema[keyword]]
    return None


def _may_be_object(preparation: Preparation, schema: Any) -> bool:
    kinds = _kinds(preparation, schema, 0)
    return kinds is None or "object" in kinds


def _property_names(preparation: Preparation, branches: list[Any], objects: list[int]) -> list[str]:
    """Return the names of the first object's properties, to find the one that tells the branches apart."""
    schema = _target(preparation, branches[objects[0]]) if objects else None
    while options := _alternatives(schema):
        schema = _target(preparation, options[0])
        if schema is options[0] and _alternatives(schema) == options:
            break
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return [*properties] if isinstance(properties, dict) else []


def _values(preparation: Preparation, schema: Any, name: str, depth: int) -> set[str] | None:
    """Return the values that a property may have in objects of this schema, None if they aren't listed."""
    schema = _target(preparation, schema)
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    properties = schema.get("properties")
    if isinstance(properties, dict) and name in properties:
        return _listed(preparation, properties[name])
    branches = _alternatives(schema)
    if branches is None:
        for each in schema["allOf"] if isinstance(schema.get("allOf"), list) else []:
            if (values := _values(preparation, each, name, depth + 1)) is not None:
                return values
        return None
    found = [_values(preparation, each, name, depth + 1) for each in branches]
    known = [each for each in found if each is not None]
    return set().union(*known) if len(known) == len(found) else None


def _listed(preparation: Preparation, schema: Any) -> set[str] | None:
    """Return the values of `const` or `enum` as texts, None without them."""
    schema = _target(preparation, schema)
    if not isinstance(schema, dict):
        return None
    if "const" in schema:
        return {json.dumps(schema["const"], sort_keys=True)}
    if isinstance(schema.get("enum"), list):
        return {json.dumps(each, sort_keys=True) for each in schema["enum"]}
    return None


def _requiring(preparation: Preparation, schema: Any, name: str, depth: int) -> Any:
    """Return the schema with a property required in all of its objects, as a part of its own where it was one."""
    schema, pointer = preparation.references.resolve(schema)
    variant = f"{pointer} with {name} required"
    if pointer is not None and preparation.references.has_variant(variant):
        return {"$ref": variant}
    if pointer is not None:
        preparation.references.add_variant(variant, True, of=pointer)  # it may refer to itself
    keyword = next((key for key in _ALTERNATIVES if isinstance(schema.get(key), list)), None)
    made = {**schema, "required": list(dict.fromkeys([*(schema.get("required") or []), name]))}
    if name not in (schema.get("properties") or {}) and keyword and depth < _MAX_DEPTH:
        branches = [_requiring(preparation, each, name, depth + 1) for each in schema[keyword]]
        made = {**schema, keyword: branches}
    if pointer is None:
        return made
    preparation.references.add_variant(variant, made, of=pointer)
    return {"$ref": variant}


def _are_disjoint(preparation: Preparation, a: Any, b: Any) -> bool:
    """Return whether no value can match both schemas; False where that isn't certain."""
    values_a, values_b = _listed(preparation, a), _listed(preparation, b)
    if values_a is not None and values_b is not None:
        return not values_a & values_b
    kinds_a, kinds_b = _kinds(preparation, a, 0), _kinds(preparation, b, 0)
    if kinds_a is None or kinds_b is None:
        return False
    shared = _widened(kinds_a) & _widened(kinds_b)
    return not shared or (shared == {"object"} and _are_disjoint_objects(preparation, a, b))


def _widened(kinds: set[str]) -> set[str]:
    return kinds | {"integer"} if "number" in kinds else kinds


def _are_disjoint_objects(preparation: Preparation, a: Any, b: Any) -> bool:
    options_a, options_b = (_alternatives(_target(preparation, each)) or [each] for each in (a, b))
    if len(options_a) > 1 or len(options_b) > 1:
        return all(_are_disjoint(preparation, x, y) for x in options_a for y in options_b)
    first, second = _target(preparation, a), _target(preparation, b)
    if not isinstance(first, dict) or not isinstance(second, dict):
        return False
    required = [name for each in (first, second) for name in each.get("required") or [] if isinstance(name, str)]
    for name in required:
        is_in_both = required.count(name) > 1
        values = [_values(preparation, each, name, 0) for each in (first, second)]
        if is_in_both and values[0] is not None and values[1] is not None and not values[0] & values[1]:
            return True
    return _forbids_what_it_requires(first, second) or _forbids_what_it_requires(second, first)


def _forbids_what_it_requires(schema: Schema, other: Schema) -> bool:
    """Return whether the other schema requires a name that this one forbids."""
    properties = schema.get("properties") if isinstance(schema.get("properties"), dict) else {}
    assert isinstance(properties, dict)
    is_closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
    return any(
        properties.get(name) is False or (is_closed and name not in properties) for name in other.get("required") or []
    )


def _kinds(preparation: Preparation, schema: Any, depth: int) -> set[str] | None:
    """Return the JSON types of a schema's values, None for any."""
    schema = _target(preparation, schema)
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    try:
        types = types_of(schema, "")
    except SchemaError:
        return None
    if types is not None:
        return set(types)
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        return {_KIND_OF.get(type(each), "object") for each in values}
    if (branches := _alternatives(schema)) is not None:
        kinds = [_kinds(preparation, each, depth + 1) for each in branches]
        known = [each for each in kinds if each is not None]
        return set().union(*known) if len(known) == len(kinds) else None
    for each in schema["allOf"] if isinstance(schema.get("allOf"), list) else []:
        if (kinds_of_part := _kinds(preparation, each, depth + 1)) is not None:
            return kinds_of_part
    return None


# --- not and if


def _negate(negated: Any, schema: Schema, types: list[str] | None) -> list[Schema] | None:
    """Return schemas that together mean that `negated` doesn't hold, None if there are none."""
    if negated is False:
        return []
    if negated in (True, {}):
        return [{"enum": []}]
    if not isinstance(negated, dict):
        return None
    keys = _keys(negated) | ({"type"} & negated.keys())
    if keys == {"type"}:
        return _without_types(negated, types)
    if keys == {"required"} and types == ["object"] and isinstance(negated["required"], list):
        names = [name for name in negated["required"] if isinstance(name, str)]
        return [{"anyOf": [{"properties": {name: False}} for name in names]}] if names else None
    if keys == {"anyOf"} and isinstance(negated["anyOf"], list):
        parts = [_negate(each, schema, types) for each in negated["anyOf"]]
        known = [each for each in parts if each is not None]
        return [part for each in known for part in each] if len(known) == len(parts) else None
    values = [negated["const"]] if "const" in negated else negated.get("enum")
    if keys <= {"const", "enum", "type"} and isinstance(values, list):
        return _without_values(values, schema, types)
    return None


def _without_types(negated: Schema, types: list[str] | None) -> list[Schema] | None:
    try:
        excluded = set(types_of(negated, "") or ())
    except SchemaError:
        return None
    if types is None:
        types = ["array", "boolean", "null", "number", "object", "string"]
    if "integer" in excluded and "number" in types and "number" not in excluded:
        return None
    excluded |= {"integer"} if "number" in excluded else set()
    kept = [each for each in types if each not in excluded]
    return [{"type": kept}] if kept else [{"enum": []}]


def _without_values(values: list[Any], schema: Schema, types: list[str] | None) -> list[Schema] | None:
    excluded = {json.dumps(each, sort_keys=True) for each in values}
    if isinstance(schema.get("enum"), list):
        return [{"enum": [each for each in schema["enum"] if json.dumps(each, sort_keys=True) not in excluded]}]
    if types != ["string"]:
        return None
    texts = [each for each in values if isinstance(each, str)]
    escaped = ["".join(letter if letter.isalnum() else f"\\{letter}" for letter in text) for text in texts]
    try:
        return [{"pattern": each} for text in escaped for each in translate_pattern(f"^(?!{text}$)")]
    except UnsupportedPattern:
        return None


def _cases(preparation: Preparation, schema: Schema) -> list[tuple[Any, str]] | None:
    """Return `if`, `then` and `else` as alternatives, if the condition asks one property for listed values."""
    condition, then, otherwise = schema["if"], schema.get("then", True), schema.get("else", True)
    if condition in (True, {}):
        return [(then, "then")]
    if condition is False:
        return [(otherwise, "else")]
    if not isinstance(condition, dict) or not _keys(condition) <= {"properties", "required"}:
        return None
    wanted = condition.get("properties")
    if not isinstance(wanted, dict) or len(wanted) != 1:
        return None
    [(name, value)] = wanted.items()
    chosen = _listed(preparation, value)
    own = schema["properties"].get(name) if isinstance(schema.get("properties"), dict) else None
    known = _listed(preparation, own)
    if known is None and isinstance(own, dict) and own.get("type") == "boolean":
        known = {"true", "false"}
    if chosen is None or known is None or schema.get("type") != "object":
        return None
    is_required = name in (condition.get("required") or [])
    cases: list[tuple[Any, str]] = []
    for values, required, more, where in (
        (sorted(known & chosen), is_required, then, "then"),
        (sorted(known - chosen), not is_required, otherwise, "else"),
    ):
        if values or not required:
            cases.append(({"allOf": [_with_value(name, values, required=required), more]}, where))
    return cases


def _with_value(name: str, values: list[str], *, required: bool) -> Schema:
    allowed: Any = {"enum": [json.loads(each) for each in values]} if values else False
    return {"properties": {name: allowed}, **({"required": [name]} if required else {})}
