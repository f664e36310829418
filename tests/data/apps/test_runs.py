"""Runs: each is held by one process, does no step twice, and leaves a valid session however it ends."""

import threading
from typing import Any

import pytest

from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.errors import Conflict, NotFound, RunConflict
from llmos.core.schemas.runs import RunFailure, RunUsage
from llmos.core.schemas.turns import INTERRUPTED
from llmos.data.apps.runs import IN_DOUBT, AppRuns, End
from llmos.data.apps.sessions import AppSessions
from support.apps import (
    OTHER_LEASE,
    MovedClock,
    answer,
    calling,
    entry,
    lease,
    new_run,
    question,
    result,
    returned,
    said,
)

EFFECT: dict[str, Any] = {"is_effect": True, "name": "pay"}


@pytest.fixture
def session_id(sessions: AppSessions) -> str:
    return sessions.open("acme", "support", "u42").id


def messages(sessions: AppSessions, id: str) -> list[Any]:
    return [message for turn in sessions.turns("acme", id) for message in turn.messages]


def test_a_run_ends_with_its_turn_in_the_session(runs: AppRuns, sessions: AppSessions, session_id: str) -> None:
    run = runs.begin("acme", new_run(session_id))
    assert (run.state, run.lease, run.input) == ("running", lease().lease, question())
    runs.write("acme", run.id, lease(), [said(calling("a")), returned(result("a"))])
    end = End(state="succeeded", output="On its way.", usage=RunUsage(num_calls=2, prompt_tokens=9), num_tokens=12)
    ended, _ = runs.write("acme", run.id, lease(), [said(answer())], end)
    assert (ended.state, ended.output, ended.usage.prompt_tokens) == ("succeeded", "On its way.", 9)
    assert messages(sessions, session_id) == [question(), calling("a"), result("a"), answer()]
    assert sessions.turns("acme", session_id)[0].run == run.id
    described = sessions.get("acme", session_id)
    assert (described.num_turns, described.num_tokens, described.live_run) == (1, 12, None)


def test_what_is_sent_twice_happens_once(runs: AppRuns, sessions: AppSessions, session_id: str) -> None:
    new = new_run(session_id)
    assert runs.begin("acme", new).id == runs.begin("acme", new).id
    begun = entry("pay-1", "begun", attempt="a1", **EFFECT)
    for _ in range(2):
        assert runs.write("acme", new.id, lease(), [begun])[1][0].state == "begun"
    last, end = said(answer()), End(state="succeeded", output="x")
    for _ in range(2):
        assert runs.write("acme", new.id, lease(), [last], end)[0].state == "succeeded"
    assert sessions.get("acme", session_id).num_turns == 1
    assert [step.key for step in runs.get("acme", new.id).steps] == ["pay-1", last.key]


def test_one_run_at_a_time_is_in_a_session(runs: AppRuns, session_id: str) -> None:
    run = runs.begin("acme", new_run(session_id))
    with pytest.raises(RunConflict, match=run.id):
        runs.begin("acme", new_run(session_id))
    runs.begin("acme", new_run())
    runs.write("acme", run.id, lease(), [], End(state="waiting", waits_for="approval"))
    with pytest.raises(RunConflict, match="waits for 'approval'"):
        runs.begin("acme", new_run(session_id))
    runs.cancel("acme", run.id)
    assert runs.begin("acme", new_run(session_id)).state == "running"


def test_a_session_goes_on_after_a_process_died(
    runs: AppRuns, sessions: AppSessions, session_id: str, clock: MovedClock
) -> None:
    dead = runs.begin("acme", new_run(session_id))
    runs.write("acme", dead.id, lease(), [said(calling("a", "b")), returned(result("b"))])
    clock.pass_seconds(31)
    runs.begin("acme", new_run(session_id))
    assert runs.get("acme", dead.id).state == "interrupted"
    turn = messages(sessions, session_id)
    assert turn[:4] == [question(), calling("a", "b"), result("a", INTERRUPTED), result("b")]
    assert turn[4]["content"].startswith("[No answer: The process")
    with pytest.raises(RunConflict, match="interrupted"):
        runs.write("acme", dead.id, lease(), [said(answer())])


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_run_without_an_answer_leaves_a_turn_only_if_it_did_something(
    runs: AppRuns, sessions: AppSessions, session_id: str, state: str
) -> None:
    end = End(state=state, error=RunFailure(code="replica_failed", message="The replica died."))
    first = runs.begin("acme", new_run(session_id))
    runs.write("acme", first.id, lease(), [], end)
    assert messages(sessions, session_id) == []
    second = runs.begin("acme", new_run(session_id))
    runs.write("acme", second.id, lease(), [said(calling("a")), returned(result("a"))], end)
    assert messages(sessions, session_id)[-2:] == [result("a"), answer("[No answer: The replica died.]")]


def test_a_run_whose_process_died_is_found_and_claimed_by_one_other(runs: AppRuns, clock: MovedClock) -> None:
    run = runs.begin("acme", new_run())
    assert runs.list("acme", abandoned=True) == []
    with pytest.raises(RunConflict, match="can be continued in 30 s"):
        runs.claim("acme", run.id, lease(OTHER_LEASE))
    clock.pass_seconds(20)
    runs.write("acme", run.id, lease(), [])  # A sign of life.
    clock.pass_seconds(29)
    assert runs.list("acme", abandoned=True) == []
    clock.pass_seconds(1)
    assert [each.id for each in runs.list("acme", abandoned=True)] == [run.id]
    assert runs.claim("acme", run.id, lease(OTHER_LEASE)).lease == OTHER_LEASE
    assert runs.claim("acme", run.id, lease(OTHER_LEASE)).lease == OTHER_LEASE, "sent twice"
    with pytest.raises(RunConflict, match="Another process has"):
        runs.write("acme", run.id, lease(), [entry("a")])
    with pytest.raises(RunConflict, match="A process has"):
        runs.claim("acme", run.id, lease())


def test_an_effect_that_a_dead_process_began_is_in_doubt(runs: AppRuns, clock: MovedClock) -> None:
    run = runs.begin("acme", new_run())
    begun = [entry("pay", "begun", attempt="a1", arguments={"amount": 5}, **EFFECT), entry("plain", "begun")]
    runs.write("acme", run.id, lease(), [*begun, entry("done", result=3)])
    clock.pass_seconds(31)
    claimed = runs.claim("acme", run.id, lease(OTHER_LEASE))
    assert [(step.key, step.state) for step in claimed.steps] == [
        ("pay", "in_doubt"),
        ("plain", "begun"),
        ("done", "done"),
    ]
    again = [entry(key, "begun", attempt="a2", is_effect=key != "plain") for key in ("pay", "plain", "done")]
    _, steps = runs.write("acme", run.id, lease(OTHER_LEASE), again)
    assert [step.state for step in steps] == ["in_doubt", "begun", "done"]
    assert (steps[0].arguments, steps[2].result) == ({"amount": 5}, 3)


@pytest.mark.parametrize(("has_happened", "state"), [(True, "done"), (False, "cleared")])
def test_a_person_resolves_a_doubt(runs: AppRuns, clock: MovedClock, has_happened: bool, state: str) -> None:
    run = runs.begin("acme", new_run())
    runs.write("acme", run.id, lease(), [entry("pay", "begun", attempt="a1", **EFFECT)])
    clock.pass_seconds(31)
    runs.claim("acme", run.id, lease(OTHER_LEASE))
    runs.write("acme", run.id, lease(OTHER_LEASE), [], End(state="waiting", waits_for=IN_DOUBT + "pay"))
    with pytest.raises(RunConflict, match="waits for"):
        runs.claim("acme", run.id, lease())
    with pytest.raises(NotFound, match="in doubt"):
        runs.resolve("acme", run.id, "other", has_happened=True)
    resolved = runs.resolve("acme", run.id, "pay", has_happened=has_happened, result="receipt 7")
    assert (resolved.state, resolved.steps[0].state, resolved.steps[0].result) == ("ready", state, "receipt 7")
    runs.claim("acme", run.id, lease())
    _, (step,) = runs.write("acme", run.id, lease(), [entry("pay", "begun", attempt="a3", **EFFECT)])
    assert step.state == ("done" if has_happened else "begun")


def test_a_process_that_knows_resolves_a_doubt_itself(runs: AppRuns, clock: MovedClock) -> None:
    run = runs.begin("acme", new_run())
    runs.write("acme", run.id, lease(), [entry(key, "begun", attempt="a1", **EFFECT) for key in ("a", "b")])
    clock.pass_seconds(31)
    runs.claim("acme", run.id, lease(OTHER_LEASE))
    known = [
        entry("a", "done", attempt="a2", result="receipt 7", reconciled=True, **EFFECT),
        entry("b", "begun", attempt="a2", reconciled=True, **EFFECT),
    ]
    _, steps = runs.write("acme", run.id, lease(OTHER_LEASE), known)
    assert [step.state for step in steps] == ["done", "begun"]


def test_a_run_waits_without_a_process_and_goes_on_with_a_signal(runs: AppRuns, clock: MovedClock) -> None:
    run = runs.begin("acme", new_run())
    waiting = End(state="waiting", waits_for="approval", waits_with={"amount": 5})
    runs.write("acme", run.id, lease(), [entry("a", result=1)], waiting)
    clock.pass_seconds(10 * 86_400)
    described = runs.get("acme", run.id)
    assert (described.state, described.waits_with) == ("waiting", {"amount": 5})
    assert runs.signal("acme", run.id, "other", 1).state == "waiting"
    assert runs.signal("acme", run.id, "approval", True, actor="ada").state == "ready"
    with pytest.raises(Conflict, match="keeps the first value"):
        runs.signal("acme", run.id, "approval", False)
    assert [each.id for each in runs.list("acme", abandoned=True)] == [run.id]
    claimed = runs.claim("acme", run.id, lease(OTHER_LEASE))
    assert {each.name: (each.value, each.actor) for each in claimed.signals} == {
        "approval": (True, "ada"),
        "other": (1, None),
    }


def test_a_signal_may_come_before_it_is_waited_for(runs: AppRuns) -> None:
    run = runs.begin("acme", new_run())
    runs.signal("acme", run.id, "approval", True)
    waiting, _ = runs.write("acme", run.id, lease(), [], End(state="waiting", waits_for="approval"))
    assert waiting.state == "ready"


def test_of_two_processes_one_claims(
    runs: AppRuns, clock: MovedClock, database: Database, encryption: Encryption
) -> None:
    run = runs.begin("acme", new_run())
    clock.pass_seconds(31)
    start, outcomes = threading.Barrier(4), []

    def claim(text: str) -> None:
        others = AppRuns(database, encryption, clock=clock)
        start.wait()
        try:
            outcomes.append(others.claim("acme", run.id, lease(text)).lease)
        except RunConflict:
            outcomes.append(None)

    threads = [threading.Thread(target=claim, args=[f"{number:016x}"]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome is None for outcome in outcomes) == [False, True, True, True]


def test_a_cancelled_run_is_written_no_more(runs: AppRuns) -> None:
    run = runs.begin("acme", new_run())
    with pytest.raises(Conflict, match="hasn't ended"):
        runs.remove("acme", run.id)
    assert runs.cancel("acme", run.id).state == "cancelled"
    with pytest.raises(RunConflict, match="cancelled"):
        runs.write("acme", run.id, lease(), [entry("a")])
    for change in (
        lambda: runs.cancel("acme", run.id),
        lambda: runs.signal("acme", run.id, "approval", True),
        lambda: runs.claim("acme", run.id, lease()),
        lambda: runs.resolve("acme", run.id, "a", has_happened=True),
    ):
        with pytest.raises(RunConflict, match="has ended"):
            change()
    runs.remove("acme", run.id)
    with pytest.raises(NotFound):
        runs.get("acme", run.id)


def test_runs_are_listed_newest_first(runs: AppRuns, session_id: str) -> None:
    ids = [runs.begin("acme", new_run(each, app=app)).id for each, app in ((None, "a"), (session_id, "b"), (None, "b"))]
    runs.cancel("acme", ids[0])
    assert [each.id for each in runs.list("acme")] == ids[::-1]
    assert [each.id for each in runs.list("acme", app="b", after=ids[2])] == [ids[1]]
    assert [each.id for each in runs.list("acme", state="cancelled")] == [ids[0]]
    assert [each.id for each in runs.list("acme", session_id=session_id)] == [ids[1]]
    assert runs.list("rival") == []


def test_another_project_can_neither_see_nor_touch_a_run(runs: AppRuns) -> None:
    run = runs.begin("acme", new := new_run())
    for ask in (
        lambda: runs.get("rival", run.id),
        lambda: runs.claim("rival", run.id, lease()),
        lambda: runs.write("rival", run.id, lease(), []),
        lambda: runs.signal("rival", run.id, "approval", True),
        lambda: runs.resolve("rival", run.id, "a", has_happened=True),
        lambda: runs.cancel("rival", run.id),
        lambda: runs.remove("rival", run.id),
    ):
        with pytest.raises(NotFound):
            ask()
    with pytest.raises(RunConflict, match="is taken"):
        runs.begin("rival", new)


def test_the_persons_of_runs_are_those_of_their_sessions(runs: AppRuns, sessions: AppSessions) -> None:
    def run_of(user: str, session: str) -> str:
        return runs.begin("acme", new_run(sessions.open("acme", "support", session, user=user).id)).id

    first, same_person, another = run_of("u42", "a"), run_of("u42", "b"), run_of("u43", "c")
    (person,) = runs.subjects("acme", [first])
    assert runs.subjects("acme", [first, same_person]) == {person}
    assert len(runs.subjects("acme", [first, another])) == 2
    assert runs.subjects("globex", [first]) == frozenset()
