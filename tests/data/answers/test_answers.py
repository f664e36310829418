"""The facts of answers: found by each of their filters, in pages, for some time; a person's name can be taken away."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from llmos.core.database import Database
from llmos.core.errors import BadRequest, NotFound
from llmos.data.answers import AnswerFilter, Answers, queries
from llmos.data.answers.answers import read_place
from support.answers import AT, facts
from support.turned_clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def answers(database: Database, clock: Clock) -> Answers:
    return Answers(database, days=30, max_kept=100, clock=clock)


def add(answers: Answers, *many: Mapping[str, Any]) -> None:
    with answers._database.plain_counting() as transaction:
        answers.add(transaction, many)


def ids(answers: Answers, **wanted: Any) -> list[str]:
    return [each.id for each in answers.list(AnswerFilter(**wanted)).data]


OTHER: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "project": ({"project": "other"}, {"project": "other"}),
    "key": ({"key_id": "key-2"}, {"key_id": "key-2"}),
    "user": ({"user": "ann"}, {"user": "ann"}),
    "model": ({"model": "tiny", "version": "tiny@4"}, {"model": "tiny"}),
    "version": ({"version": "smollm2@2"}, {"model": "smollm2", "version": "smollm2@2"}),
    "route": ({"route": "premium"}, {"route": "premium"}),
    "app": ({"app": "support"}, {"app": "support"}),
    "app of a project": ({"app": "support", "project": "other"}, {"app": "support", "project": "other"}),
    "run": ({"run": "run_1", "app": "support"}, {"run": "run_1"}),
    "outcome": ({"outcome": "failed", "error": "replica_failed"}, {"outcome": "failed"}),
    "verdict": ({"verdict": "block"}, {"verdict": "block"}),
    "cost": ({"cost_nanos": 10**9, "currency": "EUR"}, {"min_cost_nanos": 10**9}),
    "tokens": ({"output_tokens": 900}, {"min_output_tokens": 900}),
    "seconds": ({"total_micros": 2_500_000}, {"min_seconds": 2.5}),
    "time": ({"seconds": 3600}, {"since": AT + timedelta(hours=1), "until": AT + timedelta(hours=2)}),
    "several": (
        {"user": "ann", "app": "support", "key_id": "key-2", "cost_nanos": 2},
        {"user": "ann", "app": "support", "key_id": "key-2", "outcome": "answered", "min_cost_nanos": 1},
    ),
}


@pytest.mark.parametrize("name", OTHER)
def test_each_filter_finds_what_it_names_alone(answers: Answers, name: str) -> None:
    fields, wanted = OTHER[name]
    add(answers, facts("a"), facts("wanted", **fields), facts("b", cost_nanos=1))
    assert ids(answers, **wanted) == ["wanted"]


def test_the_answers_of_an_app_of_a_project_are_looked_up_in_one_index(database: Database) -> None:
    if not database.is_sqlite:
        return  # PostgreSQL chooses by what is in the table.
    with database.session() as session:
        connection, plans = session.connection(), []
        event.listen(connection, "before_cursor_execute", lambda *args: plans.append(args[2:4]))
        queries.find(session, AnswerFilter(app="support", project="acme"))
        (sql, values) = plans[0]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()
    assert [row.detail for row in plan] == ["SEARCH answers USING INDEX ix_answers_app_project (app=? AND project=?)"]


def test_pages_are_newest_first_and_have_each_answer_once(answers: Answers) -> None:
    add(answers, *(facts(f"answer-{n}", seconds=n // 2) for n in range(7)))
    found, after = [], None
    while True:
        page = answers.list(AnswerFilter(limit=3, after=after))
        found += [each.id for each in page.data]
        add(answers, facts(f"newer-{len(found)}", seconds=100))
        if page.next is None:
            break
        after = read_place(page.next)
    assert found == [f"answer-{n}" for n in reversed(range(7))]


def test_where_many_are_expensive_the_newest_of_them_are_found(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmos.data.answers.queries._FEW", 2)
    add(answers, *(facts(f"answer-{n}", seconds=n, cost_nanos=n) for n in range(6)))
    assert ids(answers, min_cost_nanos=2, project="acme", limit=2) == ["answer-5", "answer-4"]


def test_an_answer_is_found_by_its_id_and_that_of_its_request(answers: Answers) -> None:
    add(answers, facts("answer-1", cost_nanos=1_500_000, currency="EUR", price_version=2), facts("answer-2"))
    found = answers.get("answer-1", project="acme")
    assert answers.get("req-of-answer-1") == found
    assert (found.cost, found.currency, found.price_version, found.at) == ("0.0015", "EUR", 2, AT)
    timings = found.timings
    assert (timings.queue, timings.prefill, timings.decode, timings.total) == (0.001, 0.002, 0.003, 0.0065)
    for project, id in (("other", "answer-1"), ("acme", "answer-3"), ("acme", "a\0")):
        with pytest.raises(NotFound, match="kept for 30 days"):
            answers.get(id, project=project)


@pytest.mark.parametrize(("wanted", "hint"), [({"outcome": "answerd"}, "answered"), ({"limit": 0}, "1 to 1000")])
def test_a_wrong_filter_is_named(answers: Answers, wanted: Mapping[str, Any], hint: str) -> None:
    with pytest.raises(BadRequest, match=hint):
        answers.list(AnswerFilter(**wanted))
    with pytest.raises(BadRequest, match="`next`"):
        read_place("yesterday")


def test_old_answers_go_and_so_do_those_beyond_the_limit(database: Database, clock: Clock) -> None:
    answers = Answers(database, days=30, max_kept=2, clock=clock)
    now = clock()
    seconds = int((now - AT).total_seconds())
    add(answers, facts("old", seconds=seconds - 31 * 86_400), *(facts(f"new-{n}", seconds=seconds) for n in range(3)))
    assert answers.remove_old() == 2
    assert ids(answers) == ["new-2", "new-1"]


def test_a_persons_name_is_taken_away(answers: Answers) -> None:
    add(answers, facts("a", user="ann"), facts("b", user="bob"), facts("c", user="ann", project="other"))
    assert sorted(answers.projects_of("ann")) == ["acme", "other"]
    assert (answers.forget("acme", "ann"), answers.forget("acme", "ann")) == (1, 0)
    assert ids(answers, user="ann") == ["c"]
    assert [each.user for each in answers.list(AnswerFilter(project="acme")).data] == ["bob", ""]
