"""The clock."""

from datetime import UTC

from llmos.core.clock import utc_now


def test_now_is_in_utc():
    assert utc_now().tzinfo is UTC
