"""Passages: what a search of files finds, in the form that vector stores and responses share."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec


class FoundPassage(msgspec.Struct, frozen=True, kw_only=True):
    """A passage of a file."""

    file_id: str
    filename: str
    score: float
    """From 0 to 1: the similarity to the query. The order of passages follows words, too."""
    text: str
    attributes: dict[str, str | float | bool]


SearchFiles = Callable[[Sequence[str]], Awaitable[Sequence[FoundPassage]]]
"""Searches files for several queries at once, and joins what they find."""
