"""Limits of keys and projects as text."""

from collections.abc import Mapping
from typing import Any

from llmos.cli.output import fields_of
from llmos.core.schemas.keys import KeyDescription
from llmos.core.schemas.limits import LimitsDescription
from llmos.core.schemas.projects import ProjectDescription


def readable_limits(limits: LimitsDescription) -> str:
    """Return such as `60 requests per minute, 4 concurrent requests`."""
    set_ones = {name: value for name, value in fields_of(limits).items() if value is not None}
    return ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in set_ones.items()) or "none"


def facts_of(described: KeyDescription | ProjectDescription) -> Mapping[str, Any]:
    """Return the fields of a key or a project, with its limits as text."""
    return {**fields_of(described), "limits": readable_limits(described.limits)}
