"""Progress callbacks of long-running work."""

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""progress(label, num_done, num_total): what is being worked on, and how much of it is done. num_total is None if the
total is unknown."""


def no_progress(label: str, num_done: int, num_total: int | None) -> None:
    """Ignore the progress."""
