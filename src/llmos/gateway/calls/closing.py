"""Closes asynchronous generators with the call that reads them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

S = TypeVar("S", bound=AsyncIterator[Any])


def closed_with(stack: AsyncExitStack, stream: S) -> S:
    """Return the stream, which is closed when the stack is left, if it can be. Cheaper than contextlib.aclosing()."""
    if (close := getattr(stream, "aclose", None)) is not None:
        stack.push_async_callback(close)
    return stream
