"""llmos alias history --at: which versions an alias pointed at on a day or at a time."""

from datetime import UTC, datetime, timedelta

from llmos.cli.aliases import spans_between
from llmos.core.schemas.aliases import AliasMoveDescription

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOVES = [
    AliasMoveDescription(was=was, now=now, at=NOON + timedelta(days=day - 1))
    for day, was, now in [(2, None, "tiny@1"), (3, "tiny@1", "tiny@2"), (5, "tiny@2", None)]
]


def test_a_day_has_every_version_that_the_alias_pointed_at() -> None:
    def on(day: int) -> list[str | None]:
        start = datetime(2026, 3, day, tzinfo=UTC)
        return [span.version for span in spans_between(MOVES, start, start + timedelta(days=1))]

    assert (on(1), on(2), on(3), on(4), on(6)) == (
        [None], [None, "tiny@1"], ["tiny@1", "tiny@2"], ["tiny@2"], [None]
    )  # fmt: skip


def test_a_time_has_the_version_of_the_last_move_before_it() -> None:
    noon = NOON + timedelta(days=2)
    assert [span.version for span in spans_between(MOVES, noon, noon)] == ["tiny@2"]
