"""The variables of prompts: what each takes, as front matter declares it, and whether a value is that."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from llmos.core.errors import BadRequest
from llmos.core.schemas.prompts import PromptVariable
from llmos.core.suggest import did_you_mean, nearest

if TYPE_CHECKING:
    from re import Pattern

Value = str | int | float | bool

MAX_VARIABLES = 256
MAX_PATTERN = 1_000
"""The most characters of a pattern."""

_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_WORDS = {"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
_OF_TEXTS = ("pattern", "min_length", "max_length")
_OF_NUMBERS = ("minimum", "maximum")


def read_variables(declared: Any, source: str) -> dict[str, PromptVariable]:
    """Return the variables that the front matter of a prompt declares.

    `source`: what errors call the prompt. Raises BadRequest, in one line, that names the variable and the field.
    """
    if declared is None:
        return {}
    if not isinstance(declared, Mapping) or not all(isinstance(name, str) for name in declared):
        raise BadRequest(f"{source}: the front matter must name variables, such as `shop: {{type: string}}`.")
    if len(declared) > MAX_VARIABLES:
        raise BadRequest(f"{source} has {len(declared)} variables; {MAX_VARIABLES} are allowed.")
    return {name: _read_variable(fields, f"{source}: the variable {name!r}") for name, fields in declared.items()}


def check_value(variable: PromptVariable, value: Any, where: str) -> Value:
    """Return the value. Raises BadRequest that says what the variable takes. `where`: begins the message."""
    if not _fits(variable, value):
        near = nearest(str(value), [str(each) for each in variable.enum or ()], limit=1)
        advice = f" Did you mean {near[0]!r}?" if near else ""
        raise BadRequest(f"{where} takes {describe(variable)}, and got {_shown(value)}.{advice}", param="variables")
    found: Value = value
    return found


def describe(variable: PromptVariable) -> str:
    """Return what a variable takes, in words: "a text of at most 20 characters"."""
    if variable.enum is not None:
        return " or ".join(_shown(each) for each in variable.enum)
    words = "a text or a number" if variable.type is None else _WORDS[variable.type]
    if variable.type == "string" and (span := _span(variable.min_length, variable.max_length)):
        words += f" of {span} characters"
    elif span := _span(variable.minimum, variable.maximum):
        words += f" of {span}"
    return words if variable.pattern is None else f"{words} that matches {variable.pattern}"


def json_schema(variable: PromptVariable) -> dict[str, Any]:
    """Return what a variable takes as a JSON schema."""
    fields = msgspec.to_builtins(variable)
    names = {"min_length": "minLength", "max_length": "maxLength"}
    return {"type": ["string", "number"]} | {names.get(name, name): value for name, value in fields.items()}


def _read_variable(fields: Any, where: str) -> PromptVariable:
    if not isinstance(fields, Mapping):
        raise BadRequest(f"{where} must have fields, such as `{{type: string}}`.")
    known = PromptVariable.__struct_fields__
    if unknown := [name for name in fields if name not in known]:
        raise BadRequest(f"{where} has no field {unknown[0]!s:.80}. {did_you_mean(str(unknown[0]), known)}")
    try:
        variable = msgspec.convert({"type": "string", **fields}, PromptVariable)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        if path == "type`":
            what = f"{_shown(fields['type'])} is not one of {', '.join(_KINDS)}"
        raise BadRequest(f"{where}: `{path.rstrip('`')}`: {what}.") from None
    _check_variable(variable, where)
    return variable


def _check_variable(variable: PromptVariable, where: str) -> None:
    """Raise BadRequest where the fields contradict each other."""
    for names, types in ((_OF_TEXTS, ("string",)), (_OF_NUMBERS, ("integer", "number"))):
        for name in names:
            if getattr(variable, name) is not None and variable.type not in types:
                raise BadRequest(f"{where}: `{name}` is for {' and '.join(types)}, and its type is {variable.type}.")
    for least, most in (("min_length", "max_length"), ("minimum", "maximum")):
        low, high = getattr(variable, least), getattr(variable, most)
        if low is not None and high is not None and low > high:
            raise BadRequest(f"{where}: `{least}` is {low}, more than `{most}`, {high}.")
    if variable.pattern is not None:
        try:
            _compiled(variable.pattern)
        except BadRequest as error:
            raise BadRequest(f"{where}: `pattern` {error.message}") from None
    if variable.enum is not None and not variable.enum:
        raise BadRequest(f"{where}: `enum` is empty, so that it takes no value.")
    alone = msgspec.structs.replace(variable, enum=None)
    for value in variable.enum or ():
        check_value(alone, value, f"{where}: `enum`")
    if variable.default is not None:
        check_value(variable, variable.default, f"{where}: `default`")


def _fits(variable: PromptVariable, value: Any) -> bool:
    if not _is_of_type(variable.type, value):
        return False
    if isinstance(value, str):
        if not _is_between(len(value), variable.min_length, variable.max_length):
            return False
        if variable.pattern is not None and _compiled(variable.pattern).search(value) is None:
            return False
    elif not isinstance(value, bool) and not _is_between(value, variable.minimum, variable.maximum):
        return False
    return variable.enum is None or any(value == each and type(value) is type(each) for each in variable.enum)


def _is_of_type(type_name: str | None, value: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if type_name is None:
        return isinstance(value, str | int | float)
    return isinstance(value, _KINDS[type_name]) and (type_name == "boolean" or not isinstance(value, bool))


def _is_between(value: float, least: float | None, most: float | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def _compiled(pattern: str) -> "Pattern[str]":
    """Return a pattern as RE2, which takes no longer than the text is long. Raises BadRequest."""
    import re2

    if len(pattern) > MAX_PATTERN:
        raise BadRequest(f"has {len(pattern):,} characters; {MAX_PATTERN:,} are allowed.")
    options = re2.Options()
    options.log_errors = False
    try:
        compiled: Pattern[str] = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise BadRequest(f"isn't a regular expression of RE2: {text}.") from None
    return compiled


def _span(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"{least} to {most}"
    if least is not None:
        return f"at least {least}"
    return "" if most is None else f"at most {most}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        text = repr(value)
        return text if len(text) <= 80 else f"{text[:80]}…"
    names: Sequence[tuple[type, str]] = ((type(None), "null"), (dict, "an object"), (list, "a list"))
    return next((name for kind, name in names if isinstance(value, kind)), type(value).__name__)
