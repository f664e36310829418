"""Costs of runs and sessions, in statements and rows: they don't grow with what is kept."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event

from llmos.core.database import Base, Database
from llmos.core.encryption.encryption import Encryption
from llmos.data.apps.opened import open_session
from llmos.data.apps.runs import AppRuns, End
from llmos.data.apps.sessions import AppSessions, Window, append_turn
from support.apps import MovedClock, answer, calling, lease, new_run, question, result, returned, said


class Costs:
    """Counts the statements that ask a database, and the rows that become objects."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.num_rows = 0

    def of(self, work: Callable[[], Any]) -> tuple[int, int]:
        self.statements.clear()
        self.num_rows = 0
        event.listen(Engine, "before_cursor_execute", self._execute)
        event.listen(Base, "load", self._load, propagate=True)
        try:
            work()
        finally:
            event.remove(Engine, "before_cursor_execute", self._execute)
            event.remove(Base, "load", self._load)
        return len(self.statements), self.num_rows

    def _execute(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("SELECT app_", "INSERT", "UPDATE", "DELETE")):
            self.statements.append(statement)

    def _load(self, *_: Any) -> None:
        self.num_rows += 1


def a_turn(runs: AppRuns, sessions: AppSessions, session_id: str) -> None:
    """Make the requests of one turn with a call of a tool."""
    described = sessions.get("acme", session_id)
    run = runs.begin("acme", new_run(session_id))
    sessions.turns("acme", session_id, first=described.first_turn)
    runs.write("acme", run.id, lease(), [said(calling("a")), returned(result("a"))])
    runs.write("acme", run.id, lease(), [said(answer())], End(state="succeeded", output="On its way."))


def test_a_write_costs_the_same_whatever_it_has(runs: AppRuns) -> None:
    few, many = runs.begin("acme", new_run()), runs.begin("acme", new_run())
    runs.write("acme", many.id, lease(), [said(answer()) for _ in range(50)])
    costs = Costs()
    one = costs.of(lambda: runs.write("acme", few.id, lease(), [said(answer())]))
    assert one[0] <= 4, costs.statements
    assert costs.of(lambda: runs.write("acme", many.id, lease(), [said(answer()) for _ in range(20)])) == one


def test_a_write_reads_its_key_and_renews_its_lease_in_one_statement_each(runs: AppRuns) -> None:
    run, costs = runs.begin("acme", new_run()), Costs()
    assert costs.of(lambda: runs.write("acme", run.id, lease(), []))[0] <= 2, costs.statements


def test_a_turn_of_a_long_session_costs_what_one_of_a_short_session_does(
    database: Database, encryption: Encryption, runs: AppRuns, sessions: AppSessions, clock: MovedClock
) -> None:
    short, long = (sessions.open("acme", "support", name).id for name in ("short", "long"))
    for id, num_turns in ((short, 10), (long, 1000)):
        with database.transaction() as session:
            found = open_session(session, encryption, "acme", id, clock(), lock=True)
            for _ in range(num_turns):
                append_turn(session, found, [question(), answer()], now=clock())
    sessions.set_window("acme", long, Window(first_turn=990))
    a_turn(runs, sessions, sessions.open("acme", "support", "warm-up").id)
    costs = Costs()
    in_short = costs.of(lambda: a_turn(runs, sessions, short))
    assert in_short[0] > 10, "it counts statements"
    assert in_short[1] > 10, "it counts rows"
    assert costs.of(lambda: a_turn(runs, sessions, long)) == in_short
    assert sessions.get("acme", long).num_turns == 1001
