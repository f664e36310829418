"""Progress of reading or copying one file, in bytes."""

from collections.abc import Callable

from llmos.core.progress import Progress

OnBytes = Callable[[int], None]
"""Called with the number of bytes done so far."""


def report_bytes(progress: Progress, label: str, num_total: int) -> OnBytes:
    """Return a callback that reports bytes done as the progress of `label`."""
    return lambda num_done: progress(label, num_done, num_total)
