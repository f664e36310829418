"""EvalRuns: begins, continues and finishes runs of evals, and finds them again."""

import builtins
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption.data_key import DataKey, modified
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.tables import ObjectSubjectRow
from llmos.core.errors import Conflict, NotFound
from llmos.core.ids import new_id
from llmos.core.schemas.base import read_description
from llmos.core.schemas.evals import EvalRunDescription, EvalRunDetails
from llmos.core.suggest import did_you_mean
from llmos.data.evals import queries
from llmos.data.evals.tables import EvalAttemptRow, EvalRunRow
from llmos.data.retention import Retentions
from llmos.evals.attempts import Attempt, AttemptKey
from llmos.evals.suite_reading import parse_suite
from llmos.evals.suites import Suite
from llmos.evals.verdicts import Report, score_run

_SUITE = b"suite"


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEvalRun:
    suite: Suite
    models: Sequence[str]
    """The model that is asked; and, if there are two, the one that it is compared with."""
    num_repeats: int
    source: str = ""
    """The version of the dataset that the suite is of."""
    subjects: frozenset[str] = frozenset()
    """HMACs of the persons whose data the suite has: the run goes when one of them is forgotten."""
    expires_at: datetime | None = None
    """The moment at which the run is deleted; None: as the project's retention says."""

    @property
    def digest(self) -> str:
        """The same for runs that do the same."""
        content = [self.suite.digest, list(self.models), self.num_repeats]
        return f"sha256:{hashlib.sha256(msgspec.json.encode(content)).hexdigest()}"

    @property
    def num_total(self) -> int:
        return len(self.suite.cases) * len(self.models) * self.num_repeats + sum(
            len(judge.labelled) for judge in self.suite.judges.values()
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenRun:
    """A run that goes on."""

    id: str
    project: str
    suite: Suite
    models: Sequence[str]
    num_repeats: int
    num_total: int
    known: Mapping[AttemptKey, Attempt]


class EvalRuns:
    """The runs of all projects. A project can't see or detect those of others. Any thread may use it."""

    def __init__(self, database: Database, encryption: Encryption, *, clock: Clock = utc_now) -> None:
        self._database, self._encryption, self._clock = database, encryption, clock
        self._retentions = Retentions(database)

    def begin(self, project: str, new: NewEvalRun, *, actor: str | None = None) -> EvalRunDescription:
        """Begin a run, or return the one that does the same and hasn't finished: it goes on.

        Raises Conflict if the project keeps nothing.
        """
        if self._retentions.of(project).keeps_nothing:
            raise Conflict(
                f"The project {project} stores no data, so it can't have runs of evals. Use another project."
            )
        key = self._encryption.new_key(new_id("eval"))
        key_row = self._encryption.wrap(key, project)
        facts = EvalRunDescription(
            suite=new.suite.name,
            suite_digest=new.suite.digest,
            source=new.source,
            models=list(new.models),
            num_repeats=new.num_repeats,
            num_cases=len(new.suite.cases),
            num_total=new.num_total,
        )
        with self._database.transaction() as session:
            known = queries.unfinished_run(session, project, new.digest)
            if known is not None:
                return _described(known, queries.num_attempts(session, [known.id]).get(known.id, 0))
            row = EvalRunRow(
                id=key.object_id,
                project=project,
                suite=new.suite.name,
                digest=new.digest,
                state="unfinished",
                facts=msgspec.to_builtins(facts),
                document=key.seal(msgspec.json.encode(new.suite.document), _SUITE),
                actor=actor,
                created_at=self._clock(),
                expires_at=new.expires_at,
            )
            # Its key isn't made of theirs: it may have the data of more persons than a key can be made of.
            named = [ObjectSubjectRow(object_id=row.id, subject=each, project=project) for each in sorted(new.subjects)]
            session.add_all([key_row, row, *named])
            session.flush()
            describe_action(row.id, suite=row.suite)
            return _described(row, 0)

    def set_job(self, project: str, id: str, job: str) -> EvalRunDescription:
        """Say which job runs it."""
        with self._database.transaction() as session:
            row = _existing(session, project, id)
            row.facts = {**row.facts, "job": job}
            return _described(row, queries.num_attempts(session, [id]).get(id, 0))

    def open(self, project: str, id: str) -> OpenRun:
        """Return a run with the attempts that there are. Raises NotFound."""
        with self._database.session() as session:
            row = _existing(session, project, id)
            facts, suite, attempts = self._read(session, row)
        return OpenRun(
            id=id,
            project=project,
            suite=suite,
            models=facts.models,
            num_repeats=facts.num_repeats,
            num_total=facts.num_total,
            known={each.key: each for each in attempts},
        )

    def keep(self, project: str, id: str, attempts: Sequence[Attempt]) -> None:
        """Keep attempts. One that is there already stays as it is. Raises NotFound for a run that was removed."""
        with self._database.transaction() as session:
            _existing(session, project, id)
            key = self._key(session, id)
            for attempt in attempts:
                session.add(
                    EvalAttemptRow(
                        run_id=id,
                        model=attempt.model,
                        case=attempt.case,
                        repeat=attempt.repeat,
                        sealed=key.seal(msgspec.json.encode(attempt), _place(attempt.key)),
                    )
                )

    def finish(self, project: str, id: str, report: Report) -> EvalRunDescription:
        """Keep what a run came to."""
        with self._database.transaction() as session:
            row = _existing(session, project, id)
            row.state, row.ended_at = "finished", self._clock()
            row.facts = {
                **row.facts,
                "verdict": report.verdict,
                "results": msgspec.to_builtins(report.results),
                "comparison": msgspec.to_builtins(report.comparison),
                "gates": msgspec.to_builtins(report.gates),
                "judges": msgspec.to_builtins(report.judges),
            }
            return _described(row, queries.num_attempts(session, [id]).get(id, 0))

    def get(self, project: str, id: str) -> EvalRunDetails:
        """Return a run with its cases and answers, finished or not. Raises NotFound."""
        with self._database.session() as session:
            row = _existing(session, project, id)
            facts, suite, attempts = self._read(session, row)
            described = _described(row, len(attempts))
        cases = [case for each in score_run(suite, facts.models, attempts) for case in each]
        return msgspec.convert({**msgspec.to_builtins(described), "cases": msgspec.to_builtins(cases)}, EvalRunDetails)

    def newest(self, project: str, like: NewEvalRun) -> EvalRunDescription | None:
        """Return the newest run that does the same, finished or not."""
        with self._database.session() as session:
            row = queries.newest_run(session, project, like.digest)
            return None if row is None else _described(row, queries.num_attempts(session, [row.id]).get(row.id, 0))

    def suite(self, project: str, id: str) -> Suite:
        """Return the suite of a run. Raises NotFound."""
        with self._database.session() as session:
            return self._read_suite(_existing(session, project, id), self._key(session, id))

    def list(self, project: str, *, suite: str | None = None, limit: int = 100) -> builtins.list[EvalRunDescription]:
        """Return runs, newest first, without their cases."""
        with self._database.session() as session:
            rows = queries.newest_runs(session, project, suite, limit)
            done = queries.num_attempts(session, [row.id for row in rows])
            return [_described(row, done.get(row.id, 0)) for row in rows]

    def remove(self, project: str, id: str) -> EvalRunDescription:
        """Delete a run with its answers, and return what it was. Raises NotFound."""
        with self._database.transaction(frees_space=True) as session:
            described = _described(_existing(session, project, id), queries.num_attempts(session, [id]).get(id, 0))
            queries.remove_runs(session, [id])
        return described

    def remove_project(self, project: str) -> None:
        """Delete every run of a project."""
        with self._database.transaction(frees_space=True) as session:
            queries.remove_all_of(session, project)

    def _read(self, session: Session, row: EvalRunRow) -> tuple[EvalRunDescription, Suite, Sequence[Attempt]]:
        key = self._key(session, row.id)
        attempts = [
            msgspec.json.decode(
                key.open(each.sealed, _place(AttemptKey(each.model, each.case, each.repeat))), type=Attempt
            )
            for each in queries.attempts_of(session, row.id)
        ]
        return read_description(EvalRunDescription, row.facts), self._read_suite(row, key), attempts

    def _read_suite(self, row: EvalRunRow, key: DataKey) -> Suite:
        return parse_suite(msgspec.json.decode(key.open(row.document, _SUITE)), f"The suite of {row.id}")

    def _key(self, session: Session, id: str) -> DataKey:
        key = self._encryption.key_of(session, id)
        if key is None:
            raise modified(id)
        return key


def _existing(session: Session, project: str, id: str) -> EvalRunRow:
    row = queries.eval_run(session, project, id)
    if row is None:
        near = did_you_mean(id, queries.recent_ids(session, project, 100)[:5])
        raise NotFound(f"There is no run {id[:80]!r} of an eval. {near}", param="id")
    return row


def _described(row: EvalRunRow, num_done: int) -> EvalRunDescription:
    described: EvalRunDescription = msgspec.convert(
        {
            **row.facts,
            "id": row.id,
            "project": row.project,
            "state": row.state,
            "num_done": num_done,
            "actor": row.actor,
            "created_at": row.created_at,
            "ended_at": row.ended_at,
        },
        EvalRunDescription,
    )
    return described


def _place(key: AttemptKey) -> bytes:
    return msgspec.json.encode(list(key))
