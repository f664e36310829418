"""Reads typed values from a checkpoint's configuration, which is untrusted: invalid values are rejected by name."""

import math
import reprlib
from collections.abc import Collection, Mapping
from typing import Any, Final

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.architectures._read_keys import ReadKeys


class _Required:
    pass


REQUIRED: Final = _Required()


class Fields:
    """The values of one mapping. Absent and null values have the default; REQUIRED raises BadModelFile."""

    def __init__(
        self, values: Mapping[str, Any], *, where: str, prefix: str = "", names: Mapping[str, str] | None = None
    ) -> None:
        """`prefix`: of the names in the mapping. `names`: name -> another name in the mapping."""
        self._values, self.where, self._prefix, self._names = values, where, prefix, names or {}

    def get(self, name: str) -> Any:
        """Return a value without checks, None if it is absent."""
        return self._values.get(self._prefix + self._names.get(name, name))

    def has(self, name: str) -> bool:
        """Return whether the value is present, perhaps as null."""
        return self._prefix + self._names.get(name, name) in self._values

    def names(self) -> list[str]:
        """Return the names of all values."""
        return [name.removeprefix(self._prefix) for name in self._values if name.startswith(self._prefix)]

    def unread(self) -> dict[str, Any]:
        """Return the values that nobody has read, by key. The mapping must be ReadKeys."""
        assert isinstance(self._values, ReadKeys)
        return self._values.unread()

    def integer(self, name: str, default: int | _Required = REQUIRED, *, low: int = 1, high: int = 1 << 20) -> int:
        """Return an integer from `low` to `high`, so that nothing is allocated for absurd sizes."""
        value = self._value(name, default)
        if type(value) is not int or not low <= value <= high:
            raise self._wrong(name, value, f"a whole number from {low:,} to {high:,}")
        return value

    def uniform_integer(self, name: str, default: int | _Required = REQUIRED, *, high: int = 1 << 20) -> int:
        """Return an integer, for which GGUF may have a list with one equal value per layer."""
        value = self.get(name)
        if not isinstance(value, list):
            return self.integer(name, default, high=high)
        if not value:
            raise self._wrong(name, value, "a whole number")
        if any(other != value[0] for other in value):
            raise UnsupportedModel(
                f"{self.where}: {self._prefix}{name} differs from layer to layer; "
                "this engine runs models whose layers are all the same."
            )
        return Fields({name: value[0]}, where=self.where).integer(name, high=high)

    def number(self, name: str, default: float | _Required = REQUIRED, *, low: float, high: float) -> float:
        """Return a finite number from `low` to `high`."""
        value = self._value(name, default)
        # JSON has NaN and integers of any length; neither may reach float().
        is_number = type(value) is float or (type(value) is int and abs(value) < 1 << 62)
        if not is_number or not math.isfinite(value) or not low <= value <= high:
            raise self._wrong(name, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def optional_number(self, name: str, *, low: float, high: float) -> float | None:
        """Return a finite number from `low` to `high`, None if it is absent."""
        return None if self.get(name) is None else self.number(name, low=low, high=high)

    def numbers(self, name: str, *, low: float, high: float, max_length: int) -> tuple[float, ...]:
        """Return a required list of finite numbers from `low` to `high`."""
        values = self._value(name, REQUIRED)
        if not isinstance(values, list) or len(values) > max_length:
            raise self._wrong(name, values, f"a list of at most {max_length:,} numbers")
        return tuple(Fields({name: value}, where=self.where).number(name, low=low, high=high) for value in values)

    def flag(self, name: str, default: bool) -> bool:
        """Return a boolean."""
        value = self._value(name, default)
        if type(value) is not bool:
            raise self._wrong(name, value, "true or false")
        return value

    def string(self, name: str, default: str | _Required = REQUIRED, *, known: Collection[str] | None = None) -> str:
        """Return a string. Raises UnsupportedModel if it isn't in `known`."""
        value = self._value(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, value, "a string")
        if known is not None and value not in known:
            raise UnsupportedModel(
                f"{self.where}: {self._prefix}{name} is {reprlib.repr(value)}; this engine knows {', '.join(known)}."
            )
        return value

    def section(self, name: str) -> "Fields | None":
        """Return the fields of a nested mapping, None if it is absent."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self._wrong(name, value, "a mapping")
        return Fields(value, where=f"{self.where}: {name}")

    def _value(self, name: str, default: Any) -> Any:
        value = self.get(name)
        if value is not None:
            return value
        if default is REQUIRED:
            raise BadModelFile(f"{self.where} lacks {self._prefix}{name}.")
        return default

    def _wrong(self, name: str, value: object, expected: str) -> BadModelFile:
        return BadModelFile(f"{self.where}: {self._prefix}{name} is {reprlib.repr(value)}; it must be {expected}.")
