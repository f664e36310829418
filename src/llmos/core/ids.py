"""Ids: random ones, and those that follow from a key."""

import os
from hashlib import sha256


def new_id(prefix: str) -> str:
    """Return `prefix-` and 24 random hexadecimal digits; a prefix that ends in an underscore gets no hyphen."""
    return _joined(prefix, os.urandom(12))


def stable_id(prefix: str, key: str) -> str:
    """Return an id that looks like a new one, and is the same for the same key."""
    return _joined(prefix, sha256(key.encode()).digest()[:12])


def _joined(prefix: str, number: bytes) -> str:
    return f"{prefix}{'' if prefix.endswith('_') else '-'}{number.hex()}"
