"""Usage: the sums by each dimension and any time are those of the entries."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.billing.entries import Entry
from llmos.billing.ledger import Ledger
from llmos.billing.sums import DAY, HOUR
from llmos.billing.usage import BY, Usage, spans
from llmos.core.database import Database
from llmos.core.errors import BadRequest
from support.ledger import AT, entry

START = datetime.fromtimestamp(AT, UTC)


@pytest.fixture
def usage(database: Database) -> Usage:
    return Usage(database, clock=lambda: START + timedelta(days=3))


def some_entries() -> list[Entry]:
    chosen = random.Random(1)
    return [
        entry(
            str(n),
            at=AT + chosen.randrange(4 * DAY),
            project=chosen.choice(["acme", "other"]),
            key_id=chosen.choice(["key-1", "key-2"]),
            user=chosen.choice(["", "ann", "bob"]),
            route=chosen.choice(["", "dialogue"]),
            version=chosen.choice(["a@1", "b@2"]),
            app=chosen.choice(["", "support"]),
            output_tokens=chosen.randrange(100),
        )
        for n in range(300)
    ]


def value_of(each: Entry, by: str) -> str:
    names = {"key": "key_id", "model": "version"}
    if by == "day":
        return datetime.fromtimestamp(each.at, UTC).date().isoformat()
    return str(getattr(each, names.get(by, by)))


@pytest.mark.parametrize("project", [None, "acme"])
@pytest.mark.parametrize("by", BY)
def test_a_report_is_the_sum_of_the_entries(ledger: Ledger, usage: Usage, by: str, project: str | None) -> None:
    entries = some_entries()
    ledger.add(entries)
    for start, end in ((0, 5 * DAY), (3 * HOUR, 2 * DAY + HOUR), (HOUR, 2 * HOUR)):
        report = usage.report(by, START + timedelta(seconds=start), START + timedelta(seconds=end), project=project)
        assert report.start is not None
        assert report.end is not None
        inside = [
            each
            for each in entries
            if report.start.timestamp() <= each.at < report.end.timestamp() and project in (None, each.project)
        ]
        calls = Counter(value_of(each, by) for each in inside)
        assert {row.value: row.num_calls for row in report.data} == calls
        assert sum(row.output_tokens for row in report.data) == sum(each.output_tokens for each in inside)


def test_the_default_is_the_last_thirty_days_and_the_busiest_come_first(ledger: Ledger, usage: Usage) -> None:
    ledger.add([entry("a", user="ann"), entry("b", user="bob"), entry("c", user="bob")])
    ledger.add([entry("old", user="eve", at=AT - 40 * DAY)])
    assert [(row.value, row.num_calls) for row in usage.report("user").data] == [("bob", 2), ("ann", 1)]
    assert usage.report("model").data[0].replica_seconds == 0.00075


def test_an_erased_user_has_no_name(ledger: Ledger, usage: Usage) -> None:
    ledger.add([entry("a", user="ann"), entry("b", user="")])
    ledger.forget("acme", "ann")
    values = sorted(row.value for row in usage.report("user").data)
    assert values[0] == ""
    assert values[1].startswith("erased-")


def test_wrong_questions_say_what_is_wrong(usage: Usage) -> None:
    with pytest.raises(BadRequest, match="Did you mean model"):
        usage.report("modle")
    with pytest.raises(BadRequest, match="ends before it begins"):
        usage.report("day", START, START - timedelta(days=1))
    with pytest.raises(BadRequest, match="in the year 1"):
        usage.report("day", datetime(1, 1, 1, tzinfo=UTC))


@given(st.integers(0, 200), st.integers(1, 200))
def test_spans_cover_each_hour_once(first: int, hours: int) -> None:
    covered: list[int] = []
    for span in spans(first * HOUR, (first + hours) * HOUR):
        assert span.start % span.period == span.end % span.period == 0
        covered += range(span.start, span.end, HOUR)
    assert covered == list(range(first * HOUR, (first + hours) * HOUR, HOUR))
