"""Hints of a request that have no effect: accepted, so that programs work, and named in a header of the response."""

import re
from collections.abc import Iterable
from typing import Any

from starlette.types import Scope

HEADER = "llmos-ignored"
"""The response header that names the fields, such as `metadata, reasoning.summary`."""

MAX_NAMES = 20
_NO_TOKEN = re.compile(r"[^\w.\-]")


class IgnoredFields:
    """The names of the fields of one request that had no effect, each once."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def add(self, path: str) -> None:
        """Add a field by its path. That of several objects in a list is one name, such as messages.content.image."""
        self._names[_NO_TOKEN.sub("", re.sub(r"\[\d+\]", "", path))[:80]] = None

    def extend(self, paths: Iterable[str]) -> None:
        """Add several fields."""
        for path in paths:
            self.add(path)

    def header(self) -> str:
        """Return the value of the header; "" if every field had its effect."""
        names = list(self._names)
        return ", ".join([*names[:MAX_NAMES], *(["..."] if len(names) > MAX_NAMES else [])])


def ignored_fields(scope: Scope) -> IgnoredFields:
    """Return the fields of the request in `scope` that have had no effect so far."""
    state: dict[str, Any] = scope.setdefault("state", {})
    found: IgnoredFields = state.setdefault("ignored", IgnoredFields())
    return found
