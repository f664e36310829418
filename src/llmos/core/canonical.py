"""Canonical JSON (RFC 8785): one spelling for each value, so that anybody can compute the same hash."""

import hashlib
from typing import Any

import msgspec
import rfc8785

from llmos.core.errors import BadRequest

_MAX_WHOLE_NUMBER = (1 << 53) - 1
"""The largest whole number that RFC 8785 takes."""

_TEXT = frozenset({str})
_WRITTEN_ALIKE = frozenset({str, bool, type(None)})
"""Types whose values RFC 8785 and msgspec write in the same way."""

_sorted = msgspec.json.Encoder(order="sorted")


def canonical(value: Any) -> bytes:
    """Return the value's spelling. Raises BadRequest for one that has none: a whole number beyond 53 bits, an infinite
    number, half a surrogate pair, or too deep nesting."""
    try:
        try:
            # Six times as fast.
            return _sorted.encode(_plain(value))
        except _NotPlain:
            return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise BadRequest(f"The value has no canonical JSON (RFC 8785): {error}.") from None


def sha256_of(value: Any) -> str:
    """Return the SHA-256 of the value's canonical JSON, in hexadecimal digits. Raises BadRequest, as canonical()."""
    return hashlib.sha256(canonical(value)).hexdigest()


class _NotPlain(Exception):
    """RFC 8785 and msgspec may differ."""


def _plain(value: Any) -> Any:
    """Return a value that msgspec writes as RFC 8785 does.

    Raises _NotPlain for large numbers, for those with an exponent, and for keys beyond ASCII, whose order RFC 8785
    takes from UTF-16.
    """
    kind = type(value)
    if kind in _WRITTEN_ALIKE:
        return value
    if kind is int and -_MAX_WHOLE_NUMBER <= value <= _MAX_WHOLE_NUMBER:
        return value
    if kind is float:
        return _plain_float(value)
    if kind is dict:
        # All at once: a receipt has a hundred keys.
        if not _TEXT.issuperset(map(type, value)) or not "".join(value).isascii():
            raise _NotPlain
        return {key: item if type(item) in _WRITTEN_ALIKE else _plain(item) for key, item in value.items()}
    if kind is list:
        return [item if type(item) in _WRITTEN_ALIKE else _plain(item) for item in value]
    raise _NotPlain


def _plain_float(value: float) -> float | int:
    """Return the number, as a whole one where it has no fraction: RFC 8785 writes 1 for 1.0."""
    if not 1e-3 <= abs(value) < 1e9:
        if value == 0:
            return 0
        raise _NotPlain
    return int(value) if value.is_integer() else value
