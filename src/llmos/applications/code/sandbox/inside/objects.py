"""Objects that stay on their side, by handles, and exceptions that go to the other one."""

import builtins
import types
from collections.abc import Callable
from typing import Any

from .values import is_builtin

CODE_FILE = "solution.py"
"""The name of the code's file in tracebacks; tests may import it as `solution`."""


_sources: dict[str, str] = {}


class Handles:
    """Objects that the other side may name."""

    def __init__(self) -> None:
        self._objects: list[Any] = []
        self._handles: dict[int, int] = {}

    def handle_of(self, value: Any) -> int:
        """Return the handle of an object: the same one each time, so that identity holds."""
        if id(value) not in self._handles:
            self._handles[id(value)] = len(self._objects)
            self._objects.append(value)  # It stays alive, so that its id stays its own.
        return self._handles[id(value)]

    def object_of(self, handle: int) -> Any:
        return self._objects[handle]


def describe(error: BaseException, encode: Callable[[Any], Any]) -> dict[str, Any]:
    """Return JSON for an exception."""
    try:
        args = [encode(each) for each in error.args]
    except Exception:
        args = [str(error)]
    return {**describe_class(type(error)), "args": args, "where": _place_of(error)}


def describe_class(kind: type[BaseException]) -> dict[str, Any]:
    """Return JSON for a class of exceptions: its name, and the nearest class that every Python has."""
    base = next(each for each in kind.__mro__ if is_builtin(each))
    return {"name": kind.__name__, "base": base.__name__}


class Exceptions:
    """Makes exceptions that the other side describes. The same class of its own becomes the same class here."""

    def __init__(self) -> None:
        self.known: dict[str, type[BaseException]] = {}

    def class_of(self, described: Any) -> type[BaseException]:
        name, base = str(described["name"]), getattr(builtins, str(described["base"]), Exception)
        if not (isinstance(base, type) and issubclass(base, BaseException)):
            base = Exception
        if name == base.__name__:
            return base
        if name not in self.known:
            self.known[name] = type(name, (base,), {})
        return self.known[name]

    def made(self, described: Any, decode: Callable[[Any], Any]) -> BaseException:
        kind = self.class_of(described)
        args = [decode(each) for each in described["args"]]
        try:
            error = kind(*args)
        except Exception:  # Such as UnicodeDecodeError, whose arguments didn't come through.
            error = RuntimeError(f"{described['name']}: {args}")
        if described.get("where"):
            error.add_note(str(described["where"])[:500])
        return error


def keep_source(name: str, source: str) -> None:
    """Let places in this source show their line."""
    _sources[name] = source


def place_in(name: str, error: BaseException) -> tuple[int, str] | None:
    """Return the number and the text of the last line of a source that an exception went through."""
    if isinstance(error, SyntaxError) and error.filename == name:
        return error.lineno or 0, (error.text or "").strip()
    number, at = 0, error.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == name:
            number = at.tb_lineno
        at = at.tb_next
    lines = _sources[name].splitlines()
    return (number, lines[number - 1].strip()) if 0 < number <= len(lines) else None


def _place_of(error: BaseException) -> str:
    """Return where in the code an exception comes from; empty if it comes from elsewhere."""
    place = place_in(CODE_FILE, error) if CODE_FILE in _sources else None
    return f"line {place[0]} of the code: {place[1]}" if place else ""


def is_module(value: Any) -> bool:
    return isinstance(value, types.ModuleType)
