"""The check of a finished value against a whole JSON schema, with the constraints that no grammar can enforce."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from llmos.engine.text.schemas import formats
from llmos.engine.text.schemas.check_cost import is_cheap
from llmos.engine.text.schemas.errors import SchemaError, short_path
from llmos.engine.text.schemas.keywords import TYPES
from llmos.engine.text.schemas.references import References, escape, reference_in

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

_DEFAULT_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_DRAFTS = {
    f"http{secure}://json-schema.org/{draft}/schema"
    for secure in ("", "s")
    for draft in ("draft-04", "draft-06", "draft-07", "draft/2019-09", "draft/2020-12")
}
_MAX_REPAIRS = 8
_MAX_BACKTRACKS = 10_000
"""Steps of a regular expression with look-around on one text: a tenth of a millisecond."""
_MAX_SCHEMA_BYTES = 256 * 1024
_MAX_MESSAGE = 200
_VALUES = ("const", "enum", "default", "examples")
"""Keywords whose values are data, not schemas."""


class SchemaValidator:
    """Checks values against one schema. Compiled once; takes microseconds for a value.

    It reads schemas as leniently as prepare_schema() does: a keyword that JSON Schema doesn't allow where it stands, an
    expression that can't be compiled and a reference that leads nowhere are left out. Formats are checked where a
    grammar enforces them. Nothing is fetched.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises SchemaError if no part of the schema can be checked."""
        self._schema = _copy(schema)
        self._validator = _compile(self._schema)

    def violations(self, value: Any, limit: int) -> list[str]:
        """Return what is wrong with a value, at most `limit` sentences, without the value itself.

        Empty, too, for a value whose check would take long: nobody's schema may hold up others.
        """
        if not is_cheap(self._schema, value):
            return []
        try:
            errors = list(islice(self._validator.iter_errors(value), limit))
        except ValueError:  # half a surrogate pair in a string, or more than 255 levels
            return []
        return [_render(error) for error in errors if not _is_given_up(error)]


def _copy(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy to repair. Raises SchemaError for a schema that is too large, or nested too deeply."""
    try:
        text = json.dumps(schema)
        copied: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"can't be checked: {error!s:.{_MAX_MESSAGE}}") from None
    if len(text) > _MAX_SCHEMA_BYTES:
        raise SchemaError(f"can't be checked: it has more than {_MAX_SCHEMA_BYTES:,} bytes")
    return copied


def _compile(repaired: dict[str, Any]) -> "Validator":
    """Repair a schema in place, and compile it."""
    from jsonschema_rs import FancyRegexOptions, ValidationError, validator_for

    _tidy(repaired)
    try:
        for _ in range(_MAX_REPAIRS):
            _repair(repaired)
            try:
                return validator_for(
                    repaired,
                    validate_formats=True,
                    mask="the value",
                    pattern_options=FancyRegexOptions(backtrack_limit=_MAX_BACKTRACKS),
                    offline=True,
                )
            except ValidationError as error:
                if not error.instance_path:
                    raise SchemaError(f"can't be checked: {error.message:.{_MAX_MESSAGE}}") from None
                _leave_out(repaired, error)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"can't be checked: {error!s:.{_MAX_MESSAGE}}") from None
    raise SchemaError("can't be checked: it has too many faults")


def _tidy(schema: dict[str, Any]) -> None:
    """Leave out, in place, the references that lead nowhere, unknown drafts, and formats that are annotations."""
    references = References(schema)
    known = formats.BUILT_IN | formats.PATTERNS.keys()
    for part in _parts(schema):
        if isinstance(draft := part.get("$schema"), str) and draft.rstrip("#") not in _DRAFTS:
            del part["$schema"]
        if isinstance(name := part.get("format"), str) and name not in known:
            del part["format"]
        if (reference := reference_in(part)) is not None:
            try:
                references.target(references.pointer(reference))
            except SchemaError:
                for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
                    part.pop(keyword, None)


def _parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects in a schema that may be schemas, the outermost first."""
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += [each for keyword, each in part.items() if keyword not in _VALUES]
        elif isinstance(part, list):
            waiting += part


def _repair(schema: dict[str, Any]) -> None:
    """Leave out, in place, what JSON Schema doesn't allow."""
    from jsonschema_rs import validator_for

    draft = schema.get("$schema", _DEFAULT_DRAFT)
    errors = list(validator_for({"$ref": draft}, validate_formats=True, offline=True).iter_errors(schema))
    # From the end, so that the indexes of lists stay valid.
    for error in sorted(errors, key=_order, reverse=True):
        _leave_out(schema, error)


def _order(error: "ValidationError") -> list[tuple[bool, str | int]]:
    return [(isinstance(step, str), step) for step in error.instance_path]


def _leave_out(schema: dict[str, Any], error: "ValidationError") -> None:
    """Leave out what an error is about, or replace it with what was meant."""
    if not error.instance_path:
        return
    *path, key = error.instance_path
    parent = _at(schema, path)
    if type(parent) not in (dict, list):
        return
    try:
        value = parent[key]
    except (KeyError, IndexError, TypeError):
        return  # It went with another error.
    if error.kind.name == "type" and "boolean" in error.kind.as_dict().get("types", ()):
        parent[key] = True  # A schema belongs here.
    elif key == "type" and (names := _type_names(value)):
        parent[key] = names
    else:
        del parent[key]


def _type_names(value: Any) -> list[str]:
    """Return the types that a faulty `type` means, as types_of() reads it."""
    given = value if isinstance(value, list) else [value]
    names = ["null" if name is None else str(name).lower() for name in given]
    return list(dict.fromkeys(names)) if all(name in TYPES for name in names) else []


def _at(schema: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        try:
            schema = schema[step]
        except (KeyError, IndexError, TypeError):
            return None
    return schema


def _is_given_up(error: "ValidationError") -> bool:
    from jsonschema_rs import ValidationErrorKind

    return isinstance(error.kind, ValidationErrorKind.BacktrackLimitExceeded)


def _render(error: "ValidationError") -> str:
    path = "".join(f"/{escape(str(step))}" for step in error.instance_path)
    message = error.message if len(error.message) <= _MAX_MESSAGE else f"{error.message[:_MAX_MESSAGE]}…"
    return f"{short_path(path)}: {message}"
