"""Runs of evals that are kept: encrypted, apart for each project, continued, listed and removed."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.errors import Conflict, NotFound
from llmos.data.evals import EvalRuns, NewEvalRun
from llmos.data.evals.executing import execute
from llmos.data.evals.tables import EvalAttemptRow, EvalRunRow
from llmos.data.files import Files
from llmos.data.retention import Retention, Retentions
from llmos.data.sweep import Sweep
from support.evals import ScriptedAsker, suite_of

SUITE = suite_of("""
name: capitals
cases:
  - {id: france, input: The capital of France, expect: {contains: Paris}}
  - {id: italy, input: The capital of Italy, expect: {contains: Rome}}
""")
NEW = NewEvalRun(suite=SUITE, models=["fake"], num_repeats=1)


@pytest.fixture
def runs(database: Database, encryption: Encryption) -> EvalRuns:
    return EvalRuns(database, encryption)


def finish(runs: EvalRuns, id: str, asker: ScriptedAsker | None = None, project: str = "acme") -> None:
    asker = asker or ScriptedAsker(lambda *_: "Paris")
    asyncio.run(execute(runs, runs.open(project, id), asker, num_in_flight=2))


def test_a_run_is_kept_with_its_answers_and_its_verdict(runs: EvalRuns) -> None:
    begun = runs.begin("acme", NEW, actor="ann")
    assert (begun.state, begun.num_done, begun.num_total, begun.verdict) == ("unfinished", 0, 2, None)
    finish(runs, begun.id)
    found = runs.get("acme", begun.id)
    assert (found.state, found.verdict, found.exit_status, found.actor) == ("finished", "failed", 4, "ann")
    assert [(case.id, case.state, case.answers[0].text) for case in found.cases] == [
        ("france", "passed", "Paris"),
        ("italy", "failed", "Paris"),
    ]
    assert runs.suite("acme", begun.id).digest == SUITE.digest
    [listed] = runs.list("acme")
    assert (listed.id, listed.num_done, listed.results[0].num_passed) == (begun.id, 2, 1)
    assert runs.list("acme", suite="other") == []


def test_a_run_that_was_stopped_goes_on_and_asks_nothing_twice(runs: EvalRuns) -> None:
    begun = runs.begin("acme", NEW)

    class Stopped(Exception):
        pass

    def stop(label: str, num_done: int, num_total: int | None) -> None:
        if num_done:
            raise Stopped

    asker = ScriptedAsker(lambda *_: "Paris")
    with pytest.raises(Stopped):
        asyncio.run(execute(runs, runs.open("acme", begun.id), asker, num_in_flight=1, progress=stop))
    assert runs.get("acme", begun.id).num_done == 1
    assert runs.begin("acme", NEW).id == begun.id
    finish(runs, begun.id, asker)
    assert len(asker.requests) == 2
    assert runs.begin("acme", NEW).id != begun.id


def test_another_project_sees_nothing(runs: EvalRuns) -> None:
    id = runs.begin("acme", NEW).id
    assert runs.list("globex") == []
    for call in (runs.get, runs.open, runs.remove):
        with pytest.raises(NotFound, match="There is no run"):
            call("globex", id)
    runs.set_job("acme", id, "job-1")
    assert runs.get("acme", id).job == "job-1"


def test_what_people_wrote_is_sealed(runs: EvalRuns, database: Database) -> None:
    finish(runs, runs.begin("acme", NEW).id)
    with database.session() as session:
        rows = [*session.query(EvalRunRow), *session.query(EvalAttemptRow)]
        for row in rows:
            stored = "".join(repr(getattr(row, column.name)) for column in row.__table__.columns)
            assert "Paris" not in stored
            assert "capital of" not in stored


def test_a_removed_run_is_gone(runs: EvalRuns) -> None:
    id = runs.begin("acme", NEW).id
    finish(runs, id)
    assert runs.remove("acme", id).id == id
    with pytest.raises(NotFound):
        runs.get("acme", id)


def test_a_project_that_goes_takes_its_runs(runs: EvalRuns) -> None:
    gone, kept = runs.begin("acme", NEW).id, runs.begin("globex", NEW).id
    runs.remove_project("acme")
    assert runs.list("acme") == []
    assert [run.id for run in runs.list("globex")] == [kept]
    assert gone != kept


def test_retention_ends_runs_too(database: Database, encryption: Encryption, tmp_path: Path) -> None:
    old = EvalRuns(database, encryption, clock=lambda: datetime.now(UTC) - timedelta(days=31))
    old.begin("acme", NEW)
    runs = EvalRuns(database, encryption)
    Retentions(database).set("acme", Retention.parse("30d"))
    Sweep(Files(database, tmp_path / "files", encryption)).run()
    assert runs.list("acme") == []
    Retentions(database).set("acme", Retention.parse("nothing"))
    with pytest.raises(Conflict, match="stores no data"):
        runs.begin("acme", NEW)


def test_answers_that_come_during_a_write_are_written_together(runs: EvalRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = "\n".join(f"- {{id: c{i}, input: x, expect: {{contains: x}}}}" for i in range(200))
    id = runs.begin("acme", NewEvalRun(suite=suite_of(cases), models=["fake"], num_repeats=1)).id
    sizes, keep = list[int](), runs.keep

    def counted(project: str, run: str, attempts: Any) -> None:
        sizes.append(len(attempts))
        keep(project, run, attempts)

    monkeypatch.setattr(runs, "keep", counted)
    asker = ScriptedAsker(lambda prompt, _: prompt)
    asyncio.run(execute(runs, runs.open("acme", id), asker, num_in_flight=50))
    assert sum(sizes) == 200
    assert len(sizes) <= 20


def test_a_run_of_recorded_traffic_goes_with_it(database: Database, encryption: Encryption, tmp_path: Path) -> None:
    runs, now = EvalRuns(database, encryption), datetime.now(UTC)
    runs.begin("acme", replace(NEW, expires_at=now - timedelta(seconds=1)))
    kept = runs.begin("globex", replace(NEW, expires_at=now + timedelta(days=1)))
    Sweep(Files(database, tmp_path / "files", encryption)).run()
    assert runs.list("acme") == []
    assert [run.id for run in runs.list("globex")] == [kept.id]


def test_the_newest_run_of_the_same_is_found(runs: EvalRuns) -> None:
    assert runs.newest("acme", NEW) is None
    first = runs.begin("acme", NEW)
    finish(runs, first.id)
    second = runs.begin("acme", NEW)
    found = runs.newest("acme", NEW)
    assert found is not None
    assert (found.id, found.verdict, second.id != first.id) == (second.id, None, True)
    assert runs.newest("globex", NEW) is None
    assert runs.newest("acme", replace(NEW, models=["other"])) is None
