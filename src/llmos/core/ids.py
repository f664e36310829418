"""Ids: random ones, and those that follow from a key."""

import os
from hashlib import sha256

_NUM_BYTES = 12
_NUM_AHEAD = 128
"""Numbers that are drawn together: each call of the system gives the interpreter's lock away."""

_drawn: list[bytes] = []


def new_id(prefix: str) -> str:
    """Return `prefix-` and 24 random hexadecimal digits; a prefix that ends in an underscore gets no hyphen."""
    try:
        number = _drawn.pop()
    except IndexError:
        drawn = os.urandom(_NUM_BYTES * _NUM_AHEAD)
        number, *more = [drawn[at : at + _NUM_BYTES] for at in range(0, len(drawn), _NUM_BYTES)]
        _drawn.extend(more)
    return _joined(prefix, number)


def stable_id(prefix: str, key: str) -> str:
    """Return an id that looks like a new one, and is the same for the same key."""
    return _joined(prefix, sha256(key.encode()).digest()[:_NUM_BYTES])


def _joined(prefix: str, number: bytes) -> str:
    return f"{prefix}{'' if prefix.endswith('_') else '-'}{number.hex()}"


# A child must not draw the same numbers as its parent.
os.register_at_fork(after_in_child=_drawn.clear)
