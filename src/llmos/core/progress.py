"""How long work tells how far it is."""

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""Told what is being worked on, how much of it is done so far, and how much there is in all (None: nobody knows)."""


def no_progress(label: str, num_done: int, num_total: int | None) -> None:
    """The Progress of somebody who doesn't want to know."""
