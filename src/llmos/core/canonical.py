"""Canonical JSON (RFC 8785): one spelling for each value, so that anybody can compute the same hash."""

import hashlib
from typing import Any

import rfc8785

from llmos.core.errors import BadRequest


def canonical(value: Any) -> bytes:
    """Return the value's spelling. Raises BadRequest for one that has none: a whole number beyond 53 bits, an infinite
    number, half a surrogate pair, or too deep nesting."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise BadRequest(f"The value has no canonical JSON (RFC 8785): {error}.") from None


def sha256_of(value: Any) -> str:
    """Return the SHA-256 of the value's canonical JSON, in hexadecimal digits. Raises BadRequest, as canonical()."""
    return hashlib.sha256(canonical(value)).hexdigest()
