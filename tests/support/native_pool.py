"""Threads for the tests of the native operations."""

from functools import cache

from llmos.engine import _native


@cache
def pool() -> "_native.Pool":
    """Return two threads, started when they are first needed: a fork of this process wouldn't have them."""
    return _native.Pool(2)
