"""Plans: versions from a date on, whom they are for, what they cost, and what they limit."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import DBAPIError

from llmos.billing.ledger import Ledger
from llmos.billing.months import month_bounds, read_terms
from llmos.billing.plans.plan import Plan, PlanLimit, read_plan
from llmos.billing.plans.plans import Plans
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
        ({"limits": [{"spend": "0"}]}, "pays for nothing"),
        ({"limits": [{"calls": 1, "per": "week"}]}, "`per` is day"),
        ({"alerts": [0]}, "percentages"),
        ({"from": "2020-01-01"}, "past"),
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
        ("allowance", "requests", "4", "0"),
        ("allowance", "money", "3", "0"),
    ]
    assert sorted((each.kind, each.unit, each.percent, each.is_hard) for each in acme.alerts) == [
        ("allowance", "money", 50, False),
        ("allowance", "money", 100, False),
        ("allowance", "requests", 50, False),
        ("allowance", "requests", 100, False),
        ("plan", "money", 50, True),
    ]
