"""The functions of a request, with the schemas of their arguments prepared for a grammar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmos.core.errors import BadRequest
from llmos.engine.messages import Tools
from llmos.engine.text.schemas import PreparedSchema, SchemaError, prepare_schema

_ALLOWS_MORE_PROPERTIES = (
    "additionalProperties", "patternProperties", "propertyNames", "unevaluatedProperties", "allOf", "anyOf", "oneOf",
    "$ref",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CallableFunction:
    """A function that the model may call."""

    name: str
    field: str
    """The path of its schema in the request, for error messages."""
    is_strict: bool
    schema: Mapping[str, Any]
    """The schema of its arguments, as it was sent."""
    arguments: PreparedSchema
    """The part of it that is enforced while the model writes."""

    @property
    def dropped(self) -> list[str]:
        """The fields of the request that aren't enforced, such as tools[0].function.parameters.properties.a.pattern."""
        return [self.field + error.path.replace("/", ".") for error in self.arguments.dropped]

    def drop(self, errors: Sequence[SchemaError]) -> None:
        """Leave out further constraints of a tool that isn't strict. Raises BadRequest for a strict one."""
        if errors and self.is_strict:
            raise BadRequest(f"{self.field} can't be followed: in the JSON schema, {errors[0]}.", param=self.field)
        known = {error.path for error in self.arguments.dropped}
        self.arguments.dropped.extend(error for error in errors if error.path not in known)


def callable_functions(tools: Tools) -> list[CallableFunction]:
    """Return the functions that may be called. Raises BadRequest for an invalid schema, and for a strict one that
    can't be enforced."""
    return [
        _callable_function(function, f"tools[{i}].function.parameters")
        for i, function in enumerate(tools.functions)
        if tools.choice != "named" or function["name"] == tools.name
    ]


def _callable_function(function: Mapping[str, Any], field: str) -> CallableFunction:
    schema = _closed({**(function.get("parameters") or {}), "type": "object"})
    is_strict = bool(function.get("strict"))
    try:
        arguments = prepare_schema(schema, is_strict=is_strict)
    except SchemaError as error:
        raise BadRequest(f"{field} can't be followed: in the JSON schema, {error}.", param=field) from None
    return CallableFunction(function["name"], field, is_strict, schema, arguments)


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema so that it allows no others, if all that it does is list properties."""
    properties = schema.get("properties")
    if properties is None or any(schema.get(key) is not None for key in _ALLOWS_MORE_PROPERTIES):
        return schema
    schema = {**schema, "additionalProperties": False}
    if isinstance(properties, dict) and isinstance(schema.get("required"), list):
        # Some servers require names that they don't describe.
        missing = [name for name in schema["required"] if isinstance(name, str) and name not in properties]
        schema["properties"] = {**properties, **dict.fromkeys(missing, True)}
    return schema
