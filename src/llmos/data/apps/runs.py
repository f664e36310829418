"""AppRuns: the runs of applications, each held by one process at a time, encrypted.

    begin ──▶ running ── end ──▶ succeeded, failed, cancelled
              │  ▲  │
        wait  │  │  └─ its lease expires ── claim ──▶ running (another process)
              ▼  │                       └─ another run begins in its session ──▶ interrupted
        waiting  │ claim
              │  │
       signal └▶ ready

A lease is a text that the process chose. Who has another one writes nothing, so no two processes do one step.
"""

import builtins
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption import queries as key_queries
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.tables import ObjectSubjectRow
from llmos.core.errors import Conflict, NotFound, RunConflict
from llmos.core.names import check_name
from llmos.core.schemas.runs import (
    LIVE_STATES,
    RunCount,
    RunDescription,
    RunFailure,
    RunUsage,
    SignalDescription,
    StepDescription,
    turn_of,
)
from llmos.core.schemas.turns import close_turn, has_results
from llmos.data.apps import queries
from llmos.data.apps.journal import Entry, Journal
from llmos.data.apps.opened import OpenRun, find_session, lock_session, open_run
from llmos.data.apps.sealing import existing_key, seal, unseal
from llmos.data.apps.sessions import append_turn, keeps_nothing
from llmos.data.apps.tables import RunRow, SignalRow, StepRow
from llmos.data.retention import Retention

IN_DOUBT = "in_doubt:"
"""The prefix of the signal that a run waits for until a person finds out whether a step happened; the step's key
follows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRun:
    id: str
    """Chosen by the process, as the lease is: a request that is sent twice begins one run."""
    lease: str
    lease_seconds: float
    app: str
    version: int | None = None
    session_id: str | None = None
    input: Any = None
    """With a session: the message of the role user."""
    user: str = ""
    """The person whose data the run contains, by the name in requests. A run in a session also belongs to the session's
    person."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    lease: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """The end of a run, or what it waits for."""

    state: str
    """succeeded, failed, cancelled or waiting."""
    output: Any = None
    error: RunFailure | None = None
    usage: RunUsage = field(default_factory=RunUsage)
    num_tokens: int = 0
    """The tokens of the last prompt and its answer, for the session."""
    waits_for: str | None = None
    waits_with: Any = None


class AppRuns:
    """The runs of all projects. A project can't see or detect those of others. Any thread may use it."""

    def __init__(self, database: Database, encryption: Encryption, *, clock: Clock = utc_now) -> None:
        self._database, self._encryption, self._clock = database, encryption, clock

    def begin(self, project: str, new: NewRun) -> RunDescription:
        """Begin a run, or return it to the process that did.

        A run in the same session whose process died is ended as interrupted, and its turn closed. Raises RunConflict if
        one is alive, NotFound for an unknown session, and Conflict if the project keeps nothing.
        """
        check_name(new.app, "an app")
        now = self._clock()
        retention, subjects = self._read_before(project, new)
        if retention.keeps_nothing:
            raise Conflict(keeps_nothing(project, "runs"))
        key = self._encryption.new_key(new.id)
        key_row = self._encryption.wrap(key, project, subjects=subjects)
        with self._database.transaction() as session:
            known, live = queries.runs_beside(session, new.id, new.session_id)
            if known is not None:
                if known.project != project or known.lease != new.lease:
                    raise RunConflict(f"The id {new.id} is taken. Choose another one.")
                run = OpenRun(known, existing_key(self._encryption, session, known.id), has_signals=True)
                return self._described_whole(session, run, is_holder=True)
            if new.session_id is not None:
                lock_session(session, project, new.session_id, now)
                if live is not None:
                    self._make_room(session, live, retention, now)
            row = RunRow(id=new.id, project=project, app=new.app, session_id=new.session_id, state="running")
            row.lease, row.lease_expires_at = new.lease, now + timedelta(seconds=new.lease_seconds)
            row.version = new.version
            row.num_steps, row.input = 0, seal(key, new.input, "input")
            row.created_at, row.expires_at = now, retention.response_expires_at(now)
            session.add_all([key_row, row])
            session.add_all([ObjectSubjectRow(object_id=row.id, subject=each, project=project) for each in subjects])
            session.flush()
            return _described(OpenRun(row, key), is_holder=True)

    def get(self, project: str, id: str) -> RunDescription:
        """Raises NotFound for an unknown or expired one, and for another project's."""
        with self._database.session() as session:
            return self._described_whole(session, self._existing(session, project, id))

    def get_part(
        self, project: str, id: str, *, first_step: int = 0, max_steps: int | None = None, step_state: str | None = None
    ) -> RunDescription:
        """Return a run with `max_steps` of its steps from the number `first_step` on, in one state or in any.

        Raises NotFound as get() does.
        """
        with self._database.session() as session:
            run = self._existing(session, project, id)
            rows = queries.steps_page(session, id, first=first_step, limit=max_steps, state=step_state)
            return _described(run, _signals(session, run), Journal(session, run, self._clock(), rows).steps())

    def subjects(self, project: str, ids: Sequence[str]) -> frozenset[str]:
        """Return the HMACs of the persons whose data these runs have."""
        with self._database.session() as session:
            return frozenset(key_queries.subjects_of_objects(session, project, ids))

    def count(self, project: str) -> Sequence[RunCount]:
        """Return the number of runs of each application in each state."""
        with self._database.session() as session:
            found = queries.run_counts(session, project, self._clock())
        return [RunCount(app=app, state=state, num_runs=number) for app, state, number in found]

    def list(
        self,
        project: str,
        *,
        app: str | None = None,
        state: str | None = None,
        session_id: str | None = None,
        abandoned: bool = False,
        after: str | None = None,
        limit: int = 100,
    ) -> builtins.list[RunDescription]:
        """Return runs without their steps, newest first, beginning behind the run `after`.

        `abandoned`: those that no process has and that wait for nothing.
        """
        now = self._clock()
        statement = queries.runs_of(project, now, app=app, state=state, session_id=session_id)
        statement = queries.to_be_continued(statement, now) if abandoned else statement
        with self._database.session() as session:
            before = None if after is None else self._existing(session, project, after).row.number
            rows = queries.runs_page(session, statement, before, limit)
            runs = [OpenRun(row, existing_key(self._encryption, session, row.id), has_signals=True) for row in rows]
            return [_described(run, _signals(session, run)) for run in runs]

    def claim(self, project: str, id: str, lease: Lease) -> RunDescription:
        """Give a run to a process. Its effects that were begun and haven't ended are in doubt then.

        Raises RunConflict if another process has it, or it has ended or waits.
        """
        now = self._clock()
        with self._database.transaction() as session:
            run = self._existing(session, project, id, lock=True)
            row, journal = run.row, Journal(session, run, now, queries.steps(session, id))
            if not (row.lease == lease.lease and row.state == "running"):
                _check_claimable(row, now)
                journal.doubt_begun_effects()
                row.state, row.lease, row.waits_for = "running", lease.lease, None
            row.lease_expires_at = now + timedelta(seconds=lease.seconds)
            return _described(run, _signals(session, run), journal.steps(), is_holder=True)

    def write(
        self, project: str, id: str, lease: Lease, entries: Sequence[Entry], end: End | None = None
    ) -> tuple[RunDescription, Sequence[StepDescription]]:
        """Write entries, and end the run or let it wait. All of it, or nothing, is written.

        Returns the run without its steps, and how the steps of the entries stand. Raises RunConflict for a process that
        doesn't have the run.
        """
        now = self._clock()
        with self._database.transaction() as session:
            run = self._existing(session, project, id, lock=True)
            row = run.row
            is_repeated = row.lease == lease.lease and end is not None and row.state == end.state
            if not is_repeated:
                _check_holder(row, lease.lease)
            end = None if is_repeated else end
            journal = Journal(session, run, now, _steps_for(session, row, entries, end))
            steps = journal.write(entries)
            row.lease_expires_at = now + timedelta(seconds=lease.seconds)
            if end is not None:
                self._end(session, run, journal, end, now)
            return _described(run, _signals(session, run)), steps

    def signal(self, project: str, id: str, name: str, value: Any, *, actor: str | None = None) -> RunDescription:
        """Give a run what it waits for, or will wait for. The first value stays.

        Raises Conflict for a second one, and for a run that has ended.
        """
        now = self._clock()
        with self._database.transaction() as session:
            run = self._existing(session, project, id, lock=True)
            _check_live(run.row)
            if queries.signal(session, id, name) is not None:
                raise Conflict(f"{id} has received {name[:80]!r} already, and keeps the first value.")
            session.add(SignalRow(run_id=id, name=name, sealed=seal(run.key, value, name), actor=actor, at=now))
            _make_ready(run.row, name)
            session.flush()
            return self._described_whole(session, replace(run, has_signals=True))

    def resolve(self, project: str, id: str, step: str, *, has_happened: bool, result: Any = None) -> RunDescription:
        """Say whether an effect in doubt has happened, and with what result. Raises NotFound if there is none."""
        now = self._clock()
        with self._database.transaction() as session:
            run = self._existing(session, project, id, lock=True)
            _check_live(run.row)
            journal = Journal(session, run, now, queries.steps(session, id))
            if not journal.resolve(step, has_happened, result):
                raise NotFound(f"{id} has no step {step[:128]!r} that is in doubt.", param="step")
            describe_action(id, step=step[:128], has_happened=has_happened)
            _make_ready(run.row, IN_DOUBT + step)
            return _described(run, _signals(session, run), journal.steps())

    def cancel(self, project: str, id: str) -> RunDescription:
        """Cancel a run. Its process notices when it writes the next time. Raises Conflict if it has ended."""
        now = self._clock()
        with self._database.transaction(frees_space=True) as session:
            run = self._existing(session, project, id, lock=True)
            _check_live(run.row)
            error = RunFailure(code="cancelled", message="The run was cancelled.")
            run.row.lease = ""
            journal = Journal(session, run, now, queries.steps(session, id))
            self._end(session, run, journal, End(state="cancelled", error=error), now)
            return _described(run, _signals(session, run), journal.steps())

    def remove(self, project: str, id: str) -> None:
        """Delete a run. Raises NotFound, and Conflict for one that hasn't ended."""
        with self._database.transaction(frees_space=True) as session:
            run = self._existing(session, project, id, lock=True)
            if run.row.state in LIVE_STATES:
                raise Conflict(f"{id} hasn't ended. Cancel it first.")
            queries.remove_runs(session, [id])

    def _make_room(self, session: Session, live: RunRow, retention: Retention, now: datetime) -> None:
        """End the run in a session whose process died. Raises RunConflict for one that is alive or waits."""
        if live.state != "running":
            what = f"waits for {live.waits_for[:80]!r}" if live.waits_for else "is ready to be continued"
            raise RunConflict(f"The run {live.id} is in this session and {what}. Continue or cancel it first.")
        if live.lease_expires_at > now:
            raise RunConflict(f"The run {live.id} is in this session. Wait until it has ended, or cancel it.")
        error = RunFailure(code="interrupted", message="The process of the run died, and the session went on.")
        run = OpenRun(live, existing_key(self._encryption, session, live.id), retention)
        journal = Journal(session, run, now, queries.steps(session, live.id))
        self._end(session, run, journal, End(state="interrupted", error=error), now)

    def _end(self, session: Session, run: OpenRun, journal: Journal, end: End, now: datetime) -> None:
        """Enter a state, with the session's turn in the same transaction."""
        row = run.row
        row.end = seal(run.key, [end.output, end.error, end.usage, end.waits_with], "end")
        row.state = end.state
        if end.state == "waiting":
            assert end.waits_for is not None, "the endpoint checked it"
            row.waits_for = end.waits_for
            if _is_answered(session, row):
                row.state = "ready"
            return
        journal.doubt_begun_effects()
        row.waits_for, row.ended_at, row.expires_at = None, now, run.retention.response_expires_at(now)
        if row.session_id is not None:
            self._append_turn(session, run, journal, end, now)

    def _append_turn(self, session: Session, run: OpenRun, journal: Journal, end: End, now: datetime) -> None:
        """Append the run's turn to its session.

        The turn of a run without an answer stays only if tools were called in it: what they did must be known later.
        """
        row = run.row
        assert row.session_id is not None
        with session.no_autoflush:  # All changes are written at once, at the end.
            found = find_session(session, self._encryption, row.project, row.session_id, now, lock=True)
        if found is None:
            return  # It was removed, or has expired.
        messages = turn_of(unseal(run.key, row.input, "input"), journal.steps())
        if end.state != "succeeded" and not has_results(messages):
            return
        messages = close_turn(messages, end.error.message if end.error else "the run ended without one.")
        append_turn(session, found, messages, now=now, run_id=row.id)
        found.row.num_tokens = end.num_tokens or found.row.num_tokens
        found.row.expires_at = run.retention.response_expires_at(now)

    def _existing(self, session: Session, project: str, id: str, *, lock: bool = False) -> OpenRun:
        return open_run(session, self._encryption, project, id, self._clock(), lock=lock)

    def _read_before(self, project: str, new: NewRun) -> tuple[Retention, set[str]]:
        """Return the project's retention, and the HMACs of the persons whose data the new run has."""
        subjects = {self._encryption.ring.index("subject", project, new.user)} if new.user else set()
        with self._database.session() as session:
            retention, others = queries.retention_and_subjects(session, project, new.session_id or "")
        return Retention.of(retention), subjects | others

    def _described_whole(self, session: Session, run: OpenRun, *, is_holder: bool = False) -> RunDescription:
        steps = Journal(session, run, self._clock(), queries.steps(session, run.row.id)).steps()
        return _described(run, _signals(session, run), steps, is_holder=is_holder)


def _described(
    run: OpenRun,
    signals: Sequence[SignalDescription] = (),
    steps: Sequence[StepDescription] = (),
    *,
    is_holder: bool = False,
) -> RunDescription:
    row = run.row
    end = [None, None, {}, None] if row.end is None else unseal(run.key, row.end, "end")
    return RunDescription(
        id=row.id,
        app=row.app,
        version=row.version,
        session=row.session_id,
        state=row.state,
        input=unseal(run.key, row.input, "input"),
        output=end[0],
        error=None if end[1] is None else RunFailure(**end[1]),
        usage=RunUsage(**end[2]),
        waits_for=row.waits_for,
        waits_with=end[3] if row.waits_for else None,
        num_steps=row.num_steps,
        steps=[*steps],
        signals=[*signals],
        lease=row.lease if is_holder else None,
        lease_expires_at=row.lease_expires_at if row.state == "running" else None,
        created_at=row.created_at,
        ended_at=row.ended_at,
        expires_at=row.expires_at,
    )


def _signals(session: Session, run: OpenRun) -> Sequence[SignalDescription]:
    rows = queries.signals(session, run.row.id) if run.has_signals else []
    return [
        SignalDescription(name=each.name, value=unseal(run.key, each.sealed, each.name), actor=each.actor, at=each.at)
        for each in rows
    ]


def _steps_for(session: Session, row: RunRow, entries: Sequence[Entry], end: End | None) -> Sequence[StepRow]:
    """Return the steps that a write is about, in one statement: those of its entries; for an end, also the effects that
    it leaves in doubt; for the end of a turn, all."""
    is_ended = end is not None and end.state != "waiting"
    if is_ended and row.session_id is not None:
        return queries.steps(session, row.id)
    if not (entries or is_ended):
        return []
    return queries.steps_to_change(session, row.id, {entry.key for entry in entries}, with_begun_effects=is_ended)


def _check_live(row: RunRow) -> None:
    if row.state not in LIVE_STATES:
        raise RunConflict(f"{row.id} has ended: it is {row.state}.")


def _check_holder(row: RunRow, lease: str) -> None:
    _check_live(row)
    if row.state != "running" or row.lease != lease:
        raise RunConflict(f"Another process has {row.id}, or it waits. This one must not continue it.")


def _check_claimable(row: RunRow, now: datetime) -> None:
    _check_live(row)
    if row.state == "waiting":
        raise RunConflict(
            f"{row.id} waits for {(row.waits_for or '')[:160]!r}, and can be continued when it has got that."
        )
    if row.state == "running" and row.lease_expires_at > now:
        seconds = (row.lease_expires_at - now).total_seconds()
        raise RunConflict(f"A process has {row.id}. If it died, the run can be continued in {seconds:.0f} s.")


def _make_ready(row: RunRow, name: str) -> None:
    if row.state == "waiting" and row.waits_for == name:
        row.state = "ready"


def _is_answered(session: Session, row: RunRow) -> bool:
    """Return whether what the run waits for is there already: a signal may come before it is waited for."""
    assert row.waits_for is not None
    if row.waits_for.startswith(IN_DOUBT):
        step = queries.step(session, row.id, row.waits_for.removeprefix(IN_DOUBT))
        return step is not None and step.state != "in_doubt"
    return queries.signal(session, row.id, row.waits_for) is not None
