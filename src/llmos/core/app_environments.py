"""Environments of an application: app.yaml with the values that its fields have in one of them.

    model: smollm2
    limits: {steps: 6, tokens: 4000}
    environments:
      prod: {model: dialogue, limits: {tokens: 9000}}     # limits: {steps: 6, tokens: 9000}

A field that is an object keeps the fields that an environment doesn't name. Any other value takes the place of the one
before, a list as a whole; null stands for the default.
"""

from collections.abc import Mapping
from typing import Any

from llmos.core.errors import BadRequest
from llmos.core.suggest import did_you_mean


def in_environment(manifest: Mapping[str, Any], environment: str, source: str) -> dict[str, Any]:
    """Return what app.yaml says in an environment; "": in none.

    Raises BadRequest that begins with `source` for an environment that app.yaml doesn't have.
    """
    known = manifest.get("environments") or {}
    if not environment:
        return {name: value for name, value in manifest.items() if name != "environments"}
    if environment not in known:
        there = did_you_mean(environment, [*known]) if known else "It has no `environments`."
        raise BadRequest(f"{source}: there is no environment {environment[:64]!r}. {there}", param="env")
    changes = known[environment] or {}
    if "environments" in changes:
        raise BadRequest(f"{source}: an environment can't have `environments`.")
    merged = _merged(manifest, changes)
    merged.pop("environments", None)
    return merged


def _merged(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(before)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = _merged(merged[name], value)
        else:
            merged[name] = value
    return merged
