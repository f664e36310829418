"""Descriptions of the kinds of guardrails: their first lines, actions, sides and options."""

import inspect
from typing import Any

from llmos.core.documented_fields import documented_fields
from llmos.security.guardrails.kinds import kinds, load_kind


def describe_kinds() -> list[dict[str, Any]]:
    """Return each kind with its description, sides, actions and {option: description}."""
    return [_described(name) for name in kinds()]


def _described(name: str) -> dict[str, Any]:
    kind = load_kind(name)
    text = inspect.getdoc(kind) or ""
    guardrail: Any = kind.GUARDRAIL
    return {
        "guardrail": name,
        "description": text.partition("\n\n")[0].replace("\n", " "),
        "sides": list(guardrail.sides),
        "actions": list(guardrail.actions),
        "options": documented_fields(kind.Options),
    }
