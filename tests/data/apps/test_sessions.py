"""Sessions: whole turns of one application of one project, encrypted."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.data.apps.runs import AppRuns
from llmos.data.apps.sessions import AppSessions, Window
from llmos.data.retention import Retention, Retentions
from support.apps import MovedClock, answer, calling, new_run, question, result

TURN = [question(), calling("a", "b"), result("b"), result("a"), answer()]


def test_a_session_is_found_again_by_its_name(sessions: AppSessions) -> None:
    opened = sessions.open("acme", "support", "ann@example.com")
    assert sessions.open("acme", "support", "ann@example.com") == opened
    assert (opened.name, opened.num_turns, opened.live_run) == ("ann@example.com", 0, None)
    others = [sessions.open("acme", "other", "ann@example.com"), sessions.open("rival", "support", "ann@example.com")]
    assert len({opened.id, *(each.id for each in others)}) == 3


def test_turns_are_read_in_pages_from_the_newest(sessions: AppSessions) -> None:
    id = sessions.open("acme", "support", "u42").id
    for number in range(5):
        sessions.append("acme", id, [question(str(number)), answer()])
    assert sessions.append("acme", id, TURN).num_turns == 6
    assert [turn.index for turn in sessions.turns("acme", id, limit=2)] == [4, 5]
    assert [turn.index for turn in sessions.turns("acme", id, before=4, first=1)] == [1, 2, 3]
    assert sessions.turns("acme", id)[5].messages == TURN


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], r"messages\[0\].*role user"),
        ([answer()], r"messages\[0\].*role user"),
        ([question()], "ends with an answer"),
        ([question(), calling("a")], "ends with an answer"),
        ([question(), calling("a", "b"), result("a"), answer()], "result of the call b belongs here"),
        ([question(), calling("a"), result("other"), answer()], "result of the call a belongs here"),
        ([question(), result("a"), answer()], "result of no call"),
        ([question(), question(), answer()], "role is 'user'"),
        ([question(), answer() | {"tool_calls": 3}], "list of objects"),
        ([question(), answer() | {"tool_calls": [{"id": 3}]}], "list of objects"),
    ],
)
def test_nothing_but_a_whole_turn_is_appended(sessions: AppSessions, messages: list[object], complaint: str) -> None:
    id = sessions.open("acme", "support", "u42").id
    with pytest.raises(BadRequest, match=complaint):
        sessions.append("acme", id, messages)  # type: ignore[arg-type]
    assert sessions.turns("acme", id) == []


def test_nothing_is_appended_while_a_run_is_in_the_session(sessions: AppSessions, runs: AppRuns) -> None:
    id = sessions.open("acme", "support", "u42").id
    run = runs.begin("acme", new_run(id))
    assert sessions.get("acme", id).live_run == run.id
    with pytest.raises(Conflict, match=run.id):
        sessions.append("acme", id, TURN)


def test_the_window_moves_forward_only(sessions: AppSessions) -> None:
    id = sessions.open("acme", "support", "u42").id
    for _ in range(3):
        sessions.append("acme", id, TURN)
    moved = sessions.set_window("acme", id, Window(first_turn=2, summary="The order is on its way."))
    assert (moved.first_turn, moved.summary, moved.name) == (2, "The order is on its way.", "u42")
    for first_turn in (1, 4):
        with pytest.raises(BadRequest, match="takes 2 to 3"):
            sessions.set_window("acme", id, Window(first_turn=first_turn))


def test_sessions_are_listed_newest_first(sessions: AppSessions) -> None:
    ids = [sessions.open("acme", app, name).id for app, name in (("support", "a"), ("write", "a"), ("support", "b"))]
    assert [each.id for each in sessions.list("acme")] == ids[::-1]
    assert [each.id for each in sessions.list("acme", app="support")] == [ids[2], ids[0]]
    assert [each.id for each in sessions.list("acme", after=ids[2], limit=1)] == [ids[1]]
    assert sessions.list("rival") == []


def test_another_project_can_neither_read_nor_change_a_session(sessions: AppSessions) -> None:
    id = sessions.open("acme", "support", "u42").id
    with pytest.raises(NotFound):
        sessions.get("rival", id)
    with pytest.raises(NotFound):
        sessions.turns("rival", id)
    with pytest.raises(NotFound):
        sessions.append("rival", id, TURN)
    with pytest.raises(NotFound):
        sessions.set_window("rival", id, Window(first_turn=0))
    with pytest.raises(NotFound):
        sessions.remove("rival", id)


def test_a_removed_session_takes_its_turns_and_runs_along(
    sessions: AppSessions, runs: AppRuns, database: Database
) -> None:
    id = sessions.open("acme", "support", "u42").id
    sessions.append("acme", id, TURN)
    run = runs.begin("acme", new_run(id))
    sessions.remove("acme", id)
    for find, gone in ((sessions.get, id), (runs.get, run.id), (sessions.get, "\0"), (runs.get, "\0")):
        with pytest.raises(NotFound):
            find("acme", gone)
    with database.session() as session:
        for table in ("app_sessions", "app_turns", "app_runs", "object_keys"):
            assert session.scalars(text(f"SELECT count(*) FROM {table}")).one() == 0


def test_a_session_expires_with_its_last_turn(sessions: AppSessions, clock: MovedClock) -> None:
    id = sessions.open("acme", "support", "u42").id
    clock.now += timedelta(days=29)
    sessions.append("acme", id, TURN)
    clock.now += timedelta(days=29)
    assert sessions.get("acme", id).num_turns == 1
    clock.now += timedelta(days=2)
    assert sessions.open("acme", "support", "u42").id != id


def test_a_project_that_keeps_nothing_has_no_sessions(
    sessions: AppSessions, runs: AppRuns, database: Database, clock: MovedClock
) -> None:
    kept = sessions.open("acme", "support", "u42").id
    run = runs.begin("acme", new_run())
    Retentions(database, clock=clock).set("acme", Retention("nothing"))
    with pytest.raises(Conflict, match="stores no data"):
        sessions.open("acme", "support", "u43")
    with pytest.raises(Conflict, match="stores no data"):
        runs.begin("acme", new_run())
    with pytest.raises(NotFound):
        sessions.get("acme", kept)
    with pytest.raises(NotFound):
        runs.get("acme", run.id)


def test_nothing_that_anybody_wrote_can_be_read_in_the_database(
    sessions: AppSessions, runs: AppRuns, database: Database
) -> None:
    id = sessions.open("acme", "support", "marker", user="marker").id
    sessions.append("acme", id, [question("marker"), answer("marker")])
    sessions.set_window("acme", id, Window(first_turn=1, summary="marker"))
    run = runs.begin("acme", new_run(id, input=question("marker")))
    runs.signal("acme", run.id, "approval", "marker")
    with database.session() as session:
        for table in ("app_sessions", "app_turns", "app_runs", "app_signals", "object_subjects"):
            (row,) = session.execute(text(f"SELECT * FROM {table} LIMIT 1")).all()
            kept = b"\n".join(each if isinstance(each, bytes) else str(each).encode() for each in row)
            assert b"marker" not in kept
