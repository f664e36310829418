"""Checks of an answer's text: equals, contains, matches, starts_with, json_schema, chrf."""

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from llmos.evals.checks.check import Finding, Kind, Subject, fields_of, number_of, shown, text_of
from llmos.evals.checks.chrf import chrf

if TYPE_CHECKING:
    from jsonschema_rs import Validator

_MAX_BACKTRACKS = 1_000_000
"""Regular expressions come from callers: one that backtracks for ever must not stop a server."""


def _equals(value: Any, subject: Subject) -> Finding:
    holds = subject.answer.text.strip() == str(value).strip()
    return Finding(holds, f"it is {shown(value)}" if holds else f"it isn't {shown(value)}")


def _contains(value: str, subject: Subject) -> Finding:
    holds = value.casefold() in subject.answer.text.casefold()
    return Finding(holds, f"it contains {shown(value)}" if holds else f"it lacks {shown(value)}")


def _starts_with(value: str, subject: Subject) -> Finding:
    holds = subject.answer.text.lstrip().casefold().startswith(value.casefold())
    return Finding(holds, f"it {'starts' if holds else 'does not start'} with {shown(value)}")


class _Pattern(NamedTuple):
    text: str
    validator: "Validator"


def _read_pattern(value: Any) -> _Pattern:
    from jsonschema_rs import FancyRegexOptions, ValidationError, validator_for

    text = text_of(value)
    options = FancyRegexOptions(backtrack_limit=_MAX_BACKTRACKS)
    try:
        return _Pattern(text, validator_for({"pattern": text}, pattern_options=options, offline=True))
    except ValidationError:
        raise ValueError(f"is no regular expression: {shown(text)}") from None


def _matches(value: _Pattern, subject: Subject) -> Finding:
    holds = value.validator.is_valid(subject.answer.text)
    return Finding(holds, f"it {'matches' if holds else 'does not match'} {shown(value.text)}")


def _read_schema(value: Any) -> "Validator":
    from jsonschema_rs import FancyRegexOptions, ValidationError, validator_for

    if value is False:
        raise ValueError("is `false`, which no value follows")
    if not isinstance(value, dict | bool):
        raise ValueError(f"must be a JSON Schema, not {shown(value, 40)}")
    options = FancyRegexOptions(backtrack_limit=_MAX_BACKTRACKS)
    try:
        return validator_for(value, pattern_options=options, offline=True)
    except (ValidationError, ValueError) as error:
        raise ValueError(f"is no JSON Schema: {str(error).splitlines()[0]}") from None


def _json_schema(value: "Validator", subject: Subject) -> Finding:
    try:
        parsed = json.loads(subject.answer.text)
    except (ValueError, RecursionError):
        return Finding(False, "it isn't JSON")
    error = next(value.iter_errors(parsed), None)
    if error is None:
        return Finding(True, "it follows the schema")
    path = "".join(f"/{step}" for step in error.instance_path)
    return Finding(False, f"it doesn't follow the schema: {f'{path}: ' if path else ''}{error.message[:200]}")


def _read_chrf(value: Any) -> tuple[str, float]:
    fields = fields_of(value, {"reference": "Guten Morgen", "at_least": "0.6"})
    return text_of(fields["reference"]), number_of(fields["at_least"], above=0, most=1)


def _chrf(value: tuple[str, float], subject: Subject) -> Finding:
    reference, least = value
    score = chrf(subject.answer.text, reference)
    return Finding(score >= least, f"its chrF with {shown(reference, 40)} is {score:.2f} ({least:g} is needed)")


def _read_equals(value: Any) -> str:
    if isinstance(value, bool | int | float):  # YAML reads `equals: 4` as a number.
        return json.dumps(value)
    if not isinstance(value, str):
        raise ValueError(f"must be a text, not {shown(value, 40)}. For objects, use json_schema with `const`")
    return value


TEXTS = [
    Kind(name="equals", read=_read_equals, test=_equals, is_of_text=True),
    Kind(name="contains", read=text_of, test=_contains, is_of_text=True, splits=True),
    Kind(name="starts_with", read=text_of, test=_starts_with, is_of_text=True),
    Kind(name="matches", read=_read_pattern, test=_matches, is_of_text=True),
    Kind(name="json_schema", read=_read_schema, test=_json_schema, is_of_text=True),
    Kind(name="chrf", read=_read_chrf, test=_chrf, is_of_text=True),
]
