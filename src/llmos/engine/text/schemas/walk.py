"""The preparation of a JSON schema for the grammar library: only what it can enforce is left.

Annotations and unknown keywords say nothing about an answer and are left out. What a keyword means that the library
doesn't know is said with keywords that it does, where that is possible; a constraint may become narrower on the way,
never wider. What is left is dropped, and an error for a strict schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmos.engine.text.schemas.arrays import prepare_array
from llmos.engine.text.schemas.errors import SchemaError
from llmos.engine.text.schemas.keywords import json_name, types_of
from llmos.engine.text.schemas.objects import prepare_dependencies, prepare_object, prepare_unevaluated
from llmos.engine.text.schemas.preparation import Preparation, Schema, Site
from llmos.engine.text.schemas.references import References, reference_in
from llmos.engine.text.schemas.scalars import prepare_number, prepare_string, prepare_values
from llmos.engine.text.schemas.unions import prepare_negations, prepare_unions

MAX_DEPTH = 64
"""Levels of a schema. The grammar library parses twice as many levels of JSON."""


@dataclass(frozen=True, slots=True)
class PreparedSchema:
    schema: Schema | bool
    dropped: list[SchemaError]
    """The constraints that are not enforced, with the path of each."""
    sites: list[Site]
    """The parts that the grammar library may still reject."""


def prepare_schema(schema: Mapping[str, Any], *, is_strict: bool) -> PreparedSchema:
    """Prepare a schema. Raises SchemaError for one that is invalid, and for a strict one that can't be enforced."""
    root = dict(schema)
    preparation = Preparation(References(root), is_strict, _prepare)
    prepared = preparation.prepare(root, "")
    definitions: dict[str, Schema | bool] = {}
    while len(definitions) < len(preparation.definitions):
        pointer, name = [*preparation.definitions.items()][len(definitions)]
        target = preparation.references.target(pointer)
        definitions[name] = preparation.prepare(target, preparation.references.path(pointer))
    if definitions and isinstance(prepared, dict):
        prepared = {**prepared, "$defs": definitions}
    return PreparedSchema(prepared, preparation.dropped, preparation.sites)


def _prepare(preparation: Preparation, value: Any, path: str) -> Schema | bool:
    if value in (True, False, []):  # PHP writes an empty object as []
        return value is not False
    if not isinstance(value, dict):
        raise SchemaError(
            f"must be a JSON schema, which is an object or a boolean; this is {json_name(value)}", path or "/"
        )
    if path.count("/") > 2 * MAX_DEPTH:
        preparation.drop(path, f"is nested more than {MAX_DEPTH} levels deep")
        return True
    schema = {key: each for key, each in value.items() if each is not None or key == "const"}
    types = types_of(schema, path)
    num_sites = len(preparation.sites)
    strings = prepare_string(preparation, schema, types, path)
    pieces = [
        *strings[:1],
        prepare_number(preparation, schema, types, path),
        prepare_array(preparation, schema, types, path),
        prepare_object(preparation, schema, types, path),
    ]
    part: Schema = {"type": types[0] if len(types) == 1 else types} if types else {}
    part |= prepare_values(preparation, schema, path)
    for piece in pieces:
        part |= piece
    part |= prepare_unions(preparation, schema, path)
    more = [
        *strings[1:],
        *prepare_negations(preparation, schema, types, path),
        *prepare_dependencies(preparation, schema, path),
        *prepare_unevaluated(preparation, schema, path),
    ]
    if more:
        part["allOf"] = [*part.get("allOf", []), *more]
    part = _with_reference(preparation, schema, part, path)
    # The grammar library takes properties in the order of the keywords that bring them.
    part = {key: part.pop(key) for key in schema if key in part} | part
    for site in preparation.sites[num_sites:]:
        if any(site.part is piece for piece in pieces):
            site.part = part
    return part


def _with_reference(preparation: Preparation, schema: Schema, part: Schema, path: str) -> Schema:
    reference = reference_in(schema)
    if reference is None:
        return part
    try:
        pointer = preparation.references.pointer(reference)
        target = preparation.references.target(pointer)
    except SchemaError as error:
        preparation.drop(f"{path}/$ref", error.reason)
        return part
    if isinstance(target, dict) and part.get("type") == target.get("type"):
        part.pop("type", None)  # a reference alone may lead back to itself, one beside other keywords may not
    return {**preparation.reference(pointer), **part}
