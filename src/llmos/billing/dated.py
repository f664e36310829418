"""Versions that apply from a date on, such as those of prices and plans. None begins in the past, and none changes."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from llmos.core.errors import BadRequest


class Dated(Protocol):
    @property
    def version(self) -> int: ...
    @property
    def valid_from(self) -> int:
        """Seconds since 1970."""


V = TypeVar("V", bound=Dated)


def valid_at(versions: Iterable[V], at: int) -> V | None:
    """Return the version that applies at a time: the one that began last; of several, the newest."""
    begun = [each for each in versions if each.valid_from <= at]
    return max(begun, key=lambda each: (each.valid_from, each.version), default=None)


def read_valid_from(value: Any, now: datetime, what: str) -> int:
    """Return the seconds since 1970 that a document's `from` stands for; by default now.

    `what`: the sentence that says what a time that is past can't have. Raises BadRequest.
    """
    if value is None:
        return int(now.timestamp())
    try:
        moment = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        raise BadRequest(
            f"`from` is {value!r:.40}. Write a date, such as 2027-01-01, or an instant with its zone.", param="from"
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    if moment < now:
        raise BadRequest(f"`from` is {value}, which has passed. {what} To start now, leave it out.", param="from")
    return int(moment.timestamp())
