"""Knows which keys of a configuration a family's reader reads, so that none is ignored that changes the mathematics.

A reader gets the configuration as ReadKeys. What it has not read afterwards must be known to be harmless
(_harmless_config.py, _harmless_gguf.py and the HARMLESS_… tables of the family); any other key is refused by name. A
key that the user wants to have ignored is read as if it were absent.
"""

import reprlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from llmos.core.errors import UnsupportedModel


class _AnyValue:
    pass


ANY: Final = _AnyValue()
"""In a table of harmless keys: the key is harmless with any value."""

HarmlessValues = tuple[Any, ...] | _AnyValue
Harmless = Mapping[str, HarmlessValues]
"""Key -> the values with which it changes nothing."""


class ReadKeys(Mapping[str, Any]):
    """A mapping that remembers which of its keys were read, also within nested mappings.

    A nested key is named with a dot: "rope_scaling.factor".
    """

    def __init__(self, values: Mapping[str, Any], ignored: Collection[str] = (), *, prefix: str = "") -> None:
        self._values = {key: value for key, value in values.items() if f"{prefix}{key}" not in ignored}
        self._ignored, self._prefix = ignored, prefix
        self._read: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        if key not in self._read:
            value = self._values[key]
            is_nested = isinstance(value, Mapping)
            self._read[key] = ReadKeys(value, self._ignored, prefix=f"{self._prefix}{key}.") if is_nested else value
        return self._read[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def unread(self) -> dict[str, Any]:
        """Return the keys that were not read, and their values. Null and empty values count as absent."""
        unread: dict[str, Any] = {}
        for key, value in self._values.items():
            read = self._read.get(key)
            if isinstance(read, ReadKeys):
                unread |= read.unread()
            elif key not in self._read and value not in (None, "", [], {}):
                unread[f"{self._prefix}{key}"] = value
        return unread


class ChangedKeys(Mapping[str, Any]):
    """A configuration with some values changed or added. What is read of it counts as read of the configuration."""

    def __init__(self, values: Mapping[str, Any], **changes: Any) -> None:
        self._values, self._changes = values, changes
        for key in changes:
            values.get(key)

    def __getitem__(self, key: str) -> Any:
        return self._changes[key] if key in self._changes else self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter({**dict.fromkeys(self._values), **self._changes})

    def __len__(self) -> int:
        return len({*self._values, *self._changes})


def refuse_unknown(unread: Mapping[str, Any], *, where: str, family: str) -> None:
    """Raise UnsupportedModel if there are keys that the family's reader neither uses nor knows to be harmless."""
    if not unread:
        return
    shown = [f"{key} ({reprlib.repr(value)})" for key, value in sorted(unread.items())[:4]]
    more = f" and {len(unread) - len(shown)} more" if len(unread) > len(shown) else ""
    raise UnsupportedModel(
        f"{where} has {', '.join(shown)}{more}, which this engine neither uses in {family} models nor knows to be "
        "harmless; it may change what the model computes. If you know that it doesn't, import or pull the model again "
        "with " + " ".join(f"--ignore {key}" for key in sorted(unread)[:4]) + "."
    )


def without_harmless(unread: Mapping[str, Any], *tables: Harmless) -> dict[str, Any]:
    """Return the keys that no table knows to be harmless with their values."""
    return {key: value for key, value in unread.items() if not any(_is_harmless(key, value, each) for each in tables)}


def _is_harmless(key: str, value: Any, table: Harmless) -> bool:
    allowed = table.get(key)
    if allowed is None:
        return False
    return isinstance(allowed, _AnyValue) or any(type(each) is type(value) and each == value for each in _wide(allowed))


def _wide(allowed: tuple[Any, ...]) -> Iterator[Any]:
    """Yield the values, whole numbers also as floats and the other way round: 1 in JSON means 1.0."""
    for value in allowed:
        yield value
        if type(value) is int:
            yield float(value)
        elif type(value) is float and value.is_integer():
            yield int(value)
