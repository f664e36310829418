"""Which functions of ours have asked which kind of database anything."""

import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

import llmos

_PACKAGE = str(Path(str(llmos.__file__)).parent)
_CORE = str(Path(_PACKAGE) / "core")
_OF_EVERY_TRANSACTION = ("BEGIN", "NOTIFY", "SELECT pg_advisory_xact_lock")


class Asked:
    """Hears of every statement of this process. A function is known by its file and its name."""

    def __init__(self) -> None:
        self._by_kind: dict[str, set[tuple[str, str]]] = {}
        event.listen(Engine, "before_cursor_execute", self._note)

    def only_on_some(self, kinds: tuple[str, ...]) -> list[str]:
        """Sentences about functions that asked one kind and not another."""
        everywhere = set().union(*self._by_kind.values())
        return [
            f"{name} in {path} was never run on {kind}"
            for kind in kinds
            for path, name in sorted(everywhere - self._by_kind.get(kind, set()))
        ]

    def _note(self, connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(_OF_EVERY_TRANSACTION):
            return
        frame = sys._getframe()
        while frame is not None:
            code = frame.f_code
            # The database itself is nobody's question: it is asked what the room above wants to know.
            if code.co_filename.startswith(_PACKAGE) and not code.co_filename.startswith(_CORE):
                place = code.co_filename.removeprefix(_PACKAGE).lstrip("/"), code.co_qualname
                self._by_kind.setdefault(connection.dialect.name, set()).add(place)
                return
            frame = frame.f_back
