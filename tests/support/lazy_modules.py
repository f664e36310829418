"""Modules that are imported when they are first used.

Every worker imports all test files; a large package that one of them asks for is only imported by the worker that runs
it. A file that names such a module in annotations begins with `from __future__ import annotations`.
"""

from importlib import import_module
from typing import Any


class LazyModule:
    """A module that is imported when one of its attributes is first asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # pytest asks everything in a test file whether it is a mock or a fixture.
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)
