"""Times as people write them on a command line: durations, moments to come, moments that have passed."""

import re
from datetime import UTC, datetime, timedelta

from llmos.core.errors import BadRequest

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,9})\s*([smhd])")


def parse_duration(text: str) -> timedelta:
    """Return the time that a text such as 90d, 12h, 30m or 0s stands for. Raises BadRequest."""
    parts = _DURATION.fullmatch(text.strip())
    if parts is None:
        raise BadRequest(f"{text[:80]!r} isn't a duration. Write a number with a unit: 90d, 12h, 30m or 0s.")
    return timedelta(seconds=int(parts[1]) * _SECONDS[parts[2]])


def parse_moment(text: str) -> datetime:
    """Return the moment that a text stands for: a time from now, or a date in this machine's time zone."""
    if _DURATION.fullmatch(text.strip()):
        try:
            return datetime.now(UTC) + parse_duration(text)
        except OverflowError:
            raise BadRequest(f"{text[:80]!r} is too far from now.") from None
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRequest(f"{text[:80]!r} isn't a time. Write 90d, 12h, or a date such as 2027-01-31.") from None


def parse_past(text: str) -> datetime:
    """Return the moment that a text stands for: a time ago, or a date in this machine's time zone."""
    if not _DURATION.fullmatch(text.strip()):
        return parse_moment(text)
    try:
        return datetime.now(UTC) - parse_duration(text)
    except OverflowError:
        raise BadRequest(f"{text[:80]!r} is too long ago.") from None


def parse_period(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """Return the moments of two texts that parse_past() takes; None for one that isn't given."""
    return None if start is None else parse_past(start), None if end is None else parse_past(end)
