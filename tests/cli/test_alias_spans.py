"""The periods of an alias, computed from its history."""

from datetime import UTC, datetime, timedelta

from llmos.cli.aliases import spans_between
from llmos.core.schemas.aliases import AliasMoveDescription

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def moves():
    """The alias pointed at tiny@1 from the 2nd, at tiny@2 from the 3rd, and was removed on the 5th, each at noon."""
    versions = {2: "tiny@1", 3: "tiny@2", 5: None}
    return [
        AliasMoveDescription(
            name="tiny:prod", model="tiny", alias="prod", was=None, now=now, at=NOON.replace(day=day), by="ada"
        )
        for day, now in versions.items()
    ]


def test_the_periods_of_an_alias_in_an_interval_are_listed():
    def on(day):
        start = datetime(2026, 3, day, tzinfo=UTC)
        return [span.version for span in spans_between(moves(), start, start + timedelta(days=1))]

    assert (on(1), on(2), on(3), on(4), on(6)) == (
        [None], [None, "tiny@1"], ["tiny@1", "tiny@2"], ["tiny@2"], [None]
    )  # fmt: skip
    noon = NOON + timedelta(days=2)
    assert [span.version for span in spans_between(moves(), noon, noon)] == ["tiny@2"]
