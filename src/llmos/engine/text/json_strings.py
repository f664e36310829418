"""The strings in a JSON value."""

from collections.abc import Iterator, Mapping
from typing import Any


def iter_strings(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value, including the keys of objects."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from iter_strings(key)
            yield from iter_strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from iter_strings(item)
