"""Durations and moments, as people write them on a command line."""

from datetime import UTC, datetime, timedelta

import pytest

from llmos.cli.times import parse_duration, parse_moment
from llmos.core.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("30m", 1800), ("12h", 43_200), ("90d", 7_776_000), (" 1 h ", 3600)]
)
def test_times_have_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "90", "d", "1w", "-1h", "1.5h", "soon"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_duration(text)
    with pytest.raises(BadRequest):
        parse_moment(text)


def test_moments_are_times_from_now_or_dates() -> None:
    assert abs(parse_moment("1h") - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    assert parse_moment("2027-01-31T12:00:00+02:00") == datetime(2027, 1, 31, 10, tzinfo=UTC)
    with pytest.raises(BadRequest, match="too far"):
        parse_moment("999999999d")
