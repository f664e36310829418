"""Records which functions of the package ran statements on which kind of database."""

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

import llmos

_PACKAGE = str(Path(str(llmos.__file__)).parent)
_CORE = str(Path(_PACKAGE) / "core")
_ROOMS = tuple(str(Path(_CORE) / room) for room in ("encryption", "jobs", "versioning", "webhooks"))
_PLAIN = str(Path(_CORE) / "statements.py")
_TABLE_INFO = "PRAGMA main.table_"
"""The question to SQLite whether it has a table. Other databases are asked by a SELECT."""
_TRANSACTION_STATEMENTS = ("BEGIN", "NOTIFY", "PRAGMA", "SELECT pg_advisory_xact_lock")


class QueryCoverage:
    """Records the functions that run statements in this process, from listen() on."""

    def __init__(self) -> None:
        self._functions_by_kind: dict[str, set[tuple[str, str]]] = {}
        """{kind of database: (path in the package, qualified name) of each function}"""

    def listen(self) -> None:
        event.listen(Engine, "before_cursor_execute", self._record)

    def functions(self) -> dict[str, list[list[str]]]:
        """Return {kind of database: [path, name] of each function}, as a worker of pytest-xdist reports it."""
        return {kind: sorted([path, name] for path, name in found) for kind, found in self._functions_by_kind.items()}

    def add(self, functions: Mapping[str, Iterable[Iterable[str]]]) -> None:
        """Add what another process has recorded."""
        for kind, found in functions.items():
            self._functions_by_kind.setdefault(kind, set()).update((path, name) for path, name in found)

    def find_missing(self, kinds: tuple[str, ...]) -> list[str]:
        """Return a sentence for each function that ran statements on one kind of database but not on another."""
        all_functions: set[tuple[str, str]] = set().union(*self._functions_by_kind.values())
        return [
            f"{name} in {path} never ran on {kind}"
            for kind in kinds
            for path, name in sorted(all_functions - self._functions_by_kind.get(kind, set()))
        ]

    def _record(self, connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(_TRANSACTION_STATEMENTS) and not statement.startswith(_TABLE_INFO):
            return
        frame = sys._getframe()
        while frame is not None:
            code = frame.f_code
            if code.co_filename == _PLAIN:
                return  # On SQLite, it goes to the driver itself, where nothing can listen.
            if _is_recorded(code.co_filename):
                function = code.co_filename.removeprefix(_PACKAGE).lstrip("/"), code.co_qualname
                self._functions_by_kind.setdefault(connection.dialect.name, set()).add(function)
                return
            frame = frame.f_back


@cache
def _is_recorded(path: str) -> bool:
    """Return whether the functions of this file are recorded.

    Those of core aren't, which run statements for the rooms above it. Jobs and webhooks are rooms of their own, and so
    are encryption, whose key ring may be in another database than the one of its callers, and versioning, whose
    aliases and labels each noun has tested on both kinds.
    """
    is_core = path.startswith(_CORE) and not path.startswith(_ROOMS)
    return path.startswith(_PACKAGE) and not is_core
