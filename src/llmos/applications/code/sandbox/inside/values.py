"""Plain values as JSON, and the classes that may be named in it. Decoding runs nothing of the other side.

A value of a type that isn't plain stays where it is: the other side gets its handle.
"""

import builtins
import importlib
from collections.abc import Callable
from typing import Any

_EXACT_INT = 1 << 53
_TEXTS: dict[str, tuple[type, Callable[[Any], str], Callable[[str], Any]]] = {
    "int": (int, hex, lambda text: int(text, 16)),  # Large ones: decimal digits take quadratic time.
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "bytearray": (bytearray, bytearray.hex, bytearray.fromhex),
    "complex": (complex, repr, complex),
}
"""Types that a text holds exactly."""
_PARTS: dict[str, tuple[type, Callable[[Any], list[Any]], Callable[[list[Any]], Any]]] = {
    "tuple": (tuple, list, tuple),
    "set": (set, list, set),
    "frozenset": (frozenset, list, frozenset),
    "dict": (dict, lambda value: [each for pair in value.items() for each in pair], lambda v: dict(_pairs(v))),
    "range": (range, lambda value: [value.start, value.stop, value.step], lambda parts: range(*parts)),
    "slice": (slice, lambda value: [value.start, value.stop, value.step], lambda parts: slice(*parts)),
}
"""Types that a list of plain values holds exactly."""
_LIBRARY: dict[str, tuple[str, Callable[[Any], Any], Callable[[type, Any], Any]]] = {
    "Decimal": ("decimal", str, lambda kind, held: kind(held)),
    "Fraction": ("fractions", str, lambda kind, held: kind(held)),
    "date": ("datetime", str, lambda kind, held: kind.fromisoformat(held)),  # type: ignore[attr-defined]
    "time": ("datetime", str, lambda kind, held: kind.fromisoformat(held)),  # type: ignore[attr-defined]
    "datetime": ("datetime", str, lambda kind, held: kind.fromisoformat(held)),  # type: ignore[attr-defined]
    "timedelta": ("datetime", lambda v: [v.days, v.seconds, v.microseconds], lambda kind, held: kind(*held)),
}
"""Types of the standard library. Their modules are imported when they are needed: each costs milliseconds."""
_NAMES = {kind: name for table in (_TEXTS, _PARTS) for name, (kind, *_) in table.items()}
_PLAIN_BASES = (str, int, float, tuple, list, set, frozenset, dict, bytes)


class NotPlain(Exception):
    """A value can't be sent."""


def encode(value: Any, refer: Callable[[Any], Any]) -> Any:
    """Return JSON for a value. `refer` is asked for that of a value that isn't plain."""
    kind: type = type(value)
    if kind in (type(None), bool, str, float) or (kind is int and -_EXACT_INT < value < _EXACT_INT):
        return value
    if kind is list:
        return [encode(each, refer) for each in value]
    if kind in _NAMES:
        name = _NAMES[kind]
        if name in _TEXTS:
            return {name: _TEXTS[name][1](value)}
        return {name: [encode(each, refer) for each in _PARTS[name][1](value)]}
    if kind.__name__ in _LIBRARY and kind.__module__ == _LIBRARY[kind.__name__][0]:
        return {kind.__name__: _LIBRARY[kind.__name__][1](value)}
    if value is Ellipsis or value is NotImplemented:
        return {"constant": repr(value)}
    if isinstance(value, type) and is_builtin(value):
        return {"class": value.__name__}
    return refer(value)


def decode(data: Any, resolve: Callable[[str, Any], Any]) -> Any:
    """Return the value that JSON stands for. `resolve` is asked for what `refer` made. Raises NotPlain."""
    if isinstance(data, list):
        return [decode(each, resolve) for each in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1:
        raise NotPlain("a value has one name")
    ((name, held),) = data.items()
    if name in _TEXTS:
        return _TEXTS[name][2](held)
    if name in _PARTS:
        return _PARTS[name][2]([decode(each, resolve) for each in held])
    if name in _LIBRARY:
        module, _, make = _LIBRARY[name]
        return make(getattr(importlib.import_module(module), name), held)
    if name == "constant":
        return {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}[held]
    if name == "class":
        return builtin_class(held)
    return resolve(name, held)


def plain_view(value: Any) -> Any:
    """Return a value of a subclass of a plain type as that type, such as a named tuple as a tuple; otherwise None."""
    base: Any = next((each for each in _PLAIN_BASES if isinstance(value, each)), None)
    return None if base is None else base(value)


def builtin_class(name: str) -> type:
    """Return a class that every Python has, by its name. Raises NotPlain."""
    found = getattr(builtins, name, None)
    if not isinstance(found, type):
        raise NotPlain(f"there is no class {name!r}")
    return found


def is_builtin(kind: type) -> bool:
    """Return whether every Python has this class."""
    return getattr(builtins, kind.__name__, None) is kind


def _pairs(flat: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(flat[::2], flat[1::2], strict=True))
