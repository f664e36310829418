"""Plans: versions from a date on, whom they are for, what they cost, and what they limit."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete
from sqlalchemy.exc import DBAPIError

from llmos.billing.ledger import Ledger
from llmos.billing.limits import FOREVER
from llmos.billing.months import month_bounds, read_terms
from llmos.billing.plans.plan import Plan, PlanLimit, read_plan
from llmos.billing.plans.plans import Plans
from llmos.billing.plans.sources import parts_of
from llmos.billing.plans.spans import PlanSpan
from llmos.billing.plans.tables import PlanRow
from llmos.billing.price_books import PriceBooks, read_books
from llmos.billing.rating import rate, totals
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.money import NANOS
from support.ledger import AT, entry, stored

START = datetime.fromtimestamp(AT, UTC)
TEAM = {
    "name": "team",
    "kind": "subscription",
    "currency": "EUR",
    "monthly_fee": "30",
    "included": {"calls": 2, "spend": 1},
    "limits": [{"spend": 5, "per": "month"}, {"tokens": 1000, "per": "day", "hard": False}],
}


@pytest.fixture
def plans(database: Database) -> Plans:
    return Plans(database, clock=lambda: START)


def set_prices(database: Database, **prices: Any) -> None:
    PriceBooks(database, clock=lambda: START).set(
        {"currency": "EUR", "prices": prices or {"default": {"per_call": "1"}}}
    )


def test_a_plan_has_versions_that_never_change(plans: Plans, database: Database) -> None:
    plans.set(TEAM, actor="ada")
    later = (START + timedelta(days=1)).isoformat()
    assert plans.set(TEAM | {"monthly_fee": 40, "from": later}).version == 2
    (newest,) = plans.list()
    assert (newest.version, newest.monthly_fee, newest.created_by) == (2, "40", "")
    now = plans.get("team")
    assert (now.version, now.monthly_fee, now.included) == (1, "30", {"calls": 2, "spend": "1"})
    assert now.limits[0] == {"spend": "5", "per": "month"}
    for wrong, what in (("teem", "Did you mean team"), ("\x00", "no plan")):
        with pytest.raises(NotFound, match=what):
            plans.get(wrong)
    with pytest.raises(NotFound, match="no version 3"):
        plans.get("team", 3)
    with pytest.raises(BadRequest, match="Choose another name"):
        plans.set(TEAM | {"currency": "USD"})
    with pytest.raises(DBAPIError, match="append-only"), database.transaction() as session:
        session.execute(delete(PlanRow))


def test_what_a_plan_says_is_read_exactly() -> None:
    assert read_plan(TEAM) == Plan(
        name="team",
        kind="subscription",
        currency="EUR",
        monthly_fee=30 * NANOS,
        included={"num_calls": 2},
        included_spend=NANOS,
        limits=(
            PlanLimit(unit="money", amount=5 * NANOS),
            PlanLimit(unit="tokens", amount=1000, per="day", is_hard=False),
        ),
    )


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"kind": "free"}, "`kind`"),
        ({"kind": "prepaid"}, "`monthly_fee` is for the kind subscription"),
        ({"name": "a b"}, "not a valid name"),
        ({"currency": None}, "`currency`"),
        ({"fee": "1"}, "no `plan.fee`"),
        ({"monthly_fee": 0.5}, "in quotes"),
        ({"included": {"call": 1}}, "Did you mean calls"),
        ({"included": {"tokens": -1}}, "whole number"),
        ({"prices": {"model:smollm2": {"per_call": "1"}}}, "their `default`"),
        ({"limits": [{"spend": "1", "calls": 2}]}, "has one of spend"),
        ({"limits": [{"spend": "0"}]}, "allows no calls"),
        ({"limits": [{"calls": 1, "per": "week"}]}, "`per` is day"),
        ({"alerts": [0]}, "percentages"),
        ({"from": "2020-01-01"}, "has passed"),
    ],
)
def test_a_wrong_plan_is_refused_and_says_where(plans: Plans, change: dict[str, Any], what: str) -> None:
    with pytest.raises(BadRequest, match=what):
        plans.set(TEAM | change)
    assert plans.list() == []


def test_projects_get_plans_from_a_time_on(plans: Plans) -> None:
    plans.set(TEAM)
    with pytest.raises(Conflict, match="no plan"):
        plans.assign(None, "acme")
    plans.assign("team", "acme", actor="ada")
    end = START + timedelta(hours=2)
    assert plans.assign(None, "acme", valid_from=end.isoformat()).valid_from == end
    plans.assign("team", "other", valid_from=(START + timedelta(days=2)).isoformat())
    acme, other = plans.get("team").projects
    assert (acme.project, acme.valid_from, acme.valid_until) == ("acme", START, end)
    assert (other.project, other.valid_until) == ("other", None)
    assert [each.project for each in plans.get("team", project="other").projects] == ["other"]
    assert plans.list("stranger") == []
    with pytest.raises(NotFound):
        plans.get("team", project="stranger")


def test_a_plan_that_would_count_nothing_is_refused(plans: Plans, database: Database) -> None:
    set_prices(database)
    plans.set(TEAM | {"name": "dollars", "currency": "USD"})
    with pytest.raises(BadRequest, match="prices are in EUR"):
        plans.assign("dollars", "acme")
    plans.set(TEAM | {"name": "late", "from": (START + timedelta(days=1)).isoformat()})
    with pytest.raises(BadRequest, match="doesn't apply on"):
        plans.assign("late", "acme")


def test_a_plans_own_prices_are_charged_and_a_month_is_rated_by_its_terms(
    plans: Plans, database: Database, ledger: Ledger
) -> None:
    set_prices(database)
    own = {"default": {"per_call": "0.25"}}
    plans.set(TEAM | {"prices": own, "included": {"calls": 2}, "limits": []})
    assert plans.get("team").price_version == 2
    begin = START + timedelta(minutes=1)
    plans.assign("team", "acme", valid_from=begin.isoformat())
    ledger.add([entry("before"), *(entry(f"call-{index}", at=AT + 60) for index in range(5))])
    assert [row.price_version for row in stored(database)] == [1, 2, 2, 2, 2, 2]
    month = month_bounds(START)
    with database.session() as session:
        books = {each.version: each for each in read_books(session)}
        lines = rate(read_terms(session, books, "acme", month), books)
    share = (month[1] - AT - 60) / (month[1] - month[0])
    assert [(each.kind, each.quantity) for each in lines] == [("usage", 1), ("included", 1), ("usage", 4), ("fee", 0)]
    assert lines[-1].amount_nanos == pytest.approx(30 * NANOS * share)
    assert totals(lines[:-1]) == {"EUR": 2 * NANOS}


@given(st.integers(0, 100 * 86_400), st.integers(1, 200 * 86_400))
def test_parts_of_a_plan_are_whole_months_and_what_is_before_and_after(first: int, length: int) -> None:
    end = AT + first + length
    span = PlanSpan(project="acme", plan=read_plan(TEAM), assignment=1, first=AT + first, end=end)
    parts = list(parts_of(span))
    assert [each.first for each in parts] == [span.first, *(each.end for each in parts[:-1])]
    assert parts[-1].end == end
    for each in parts:
        begin, after = month_bounds(datetime.fromtimestamp(each.first, UTC))
        is_whole = each.first == begin and month_bounds(datetime.fromtimestamp(each.end, UTC))[0] == each.end
        assert is_whole == (each.of_seconds == 0)
        assert each.of_seconds == 0 or (each.of_seconds == after - begin and each.end <= after)
    assert list(parts_of(replace(span, end=FOREVER)))[-1].end == FOREVER


def test_alerts_come_at_shares_of_what_the_part_of_a_month_includes(
    plans: Plans, database: Database, ledger: Ledger
) -> None:
    """As the invoice has it: the plan begins on the 21st, and 9.4 days of the month's 30 include 32 of 100 calls."""
    set_prices(database)
    plans.set(TEAM | {"included": {"calls": 100}, "limits": [], "alerts": [100]})
    plans.assign("team", "acme")
    ledger.add([entry(f"call-{index}") for index in range(31)])
    (acme,) = plans.get("team").projects
    assert ([(each.limit, each.left) for each in acme.limits], acme.alerts) == ([("32", "1")], [])
    ledger.add([entry("one more")])
    (acme,) = plans.get("team").projects
    assert [(each.kind, each.percent, each.limit) for each in acme.alerts] == [("allowance", 100, "32")]
    october = Plans(database, clock=lambda: START + timedelta(days=20))
    ledger.add([entry("later", at=AT + 20 * 86_400)])
    (acme,) = october.get("team").projects
    assert [(each.limit, each.spent) for each in acme.limits] == [("100", "1")]


def test_what_is_used_of_a_plan_is_shown(plans: Plans, database: Database, ledger: Ledger) -> None:
    set_prices(database)
    plans.set(TEAM | {"alerts": [50, 100]})
    plans.assign("team", "acme")
    ledger.add([entry("early", at=AT - 5)])
    ledger.add([entry(f"call-{index}", input_tokens=100) for index in range(3)])
    (acme,) = plans.get("team").projects
    assert [(each.kind, each.unit, each.spent, each.left) for each in acme.limits] == [
        ("limit", "money", "3", "2"),
        ("limit", "tokens", "317", "683"),
        ("allowance", "requests", "3", "0"),
        ("allowance", "money", "3", "0"),
    ]
    assert [each.limit for each in acme.limits][2:] == ["1", "0.313580247"], "of what 9.4 days of 30 have"
    assert sorted((each.kind, each.unit, each.percent, each.is_hard) for each in acme.alerts) == [
        ("allowance", "money", 50, False),
        ("allowance", "money", 100, False),
        ("allowance", "requests", 50, False),
        ("allowance", "requests", 100, False),
        ("plan", "money", 50, True),
    ]
