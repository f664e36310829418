"""Canonical JSON (RFC 8785): one spelling for each value, so that anybody can compute the same hash."""

import hashlib
from typing import Any

import msgspec
import rfc8785

from llmos.core.errors import BadRequest

_MAX_WHOLE_NUMBER = (1 << 53) - 1
"""The largest whole number that RFC 8785 takes."""

_sorted = msgspec.json.Encoder(order="sorted")


def canonical(value: Any) -> bytes:
    """Return the value's spelling. Raises BadRequest for one that has none: a whole number beyond 53 bits, an infinite
    number, half a surrogate pair, or too deep nesting."""
    try:
        # msgspec writes the same six times as fast, where nothing but numbers and the order of keys could differ.
        return _sorted.encode(value) if _is_plain(value) else rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise BadRequest(f"The value has no canonical JSON (RFC 8785): {error}.") from None


def sha256_of(value: Any) -> str:
    """Return the SHA-256 of the value's canonical JSON, in hexadecimal digits. Raises BadRequest, as canonical()."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _is_plain(value: Any) -> bool:
    """Return whether a value has neither floating-point numbers, nor large ones, nor keys beyond ASCII, whose order
    RFC 8785 takes from UTF-16."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return abs(int(value)) <= _MAX_WHOLE_NUMBER
    if kind is dict:
        return all(map(_is_plain_key, value)) and all(map(_is_plain, value.values()))
    return kind is list and all(map(_is_plain, value))


def _is_plain_key(key: Any) -> bool:
    return type(key) is str and key.isascii()
