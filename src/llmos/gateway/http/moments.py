"""Moments in query strings: a date, or an instant with its zone."""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

from llmos.core.errors import BadRequest

When = Annotated[str, Meta(max_length=64)]


def read_moment(text: str | None, name: str) -> datetime | None:
    """Return the moment; None for none. Raises BadRequest."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # The unescaped + of a zone arrives as a space.
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        if len(text) == len("2026-03-03"):
            return moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        pass
    raise BadRequest(
        f"`{name}` is {text!r}. Write a date, or an instant with its zone, such as 2026-03-03T12:00:00Z.", param=name
    )
