"""Which calls nobody waits for: those of batches, and shadows."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_background: ContextVar[bool] = ContextVar("is_background", default=False)


def is_background() -> bool:
    """Return whether what this task answers comes after what people wait for."""
    return _is_background.get()


@contextmanager
def in_background() -> Iterator[None]:
    """While the body runs, what this task answers comes after what people wait for, and takes no room in the queue.

    A variable of the task, so that no route has to hand it on, and none can forget to.
    """
    token = _is_background.set(True)
    try:
        yield
    finally:
        _is_background.reset(token)
