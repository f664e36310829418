"""Handoffs: questions that applications handed over to a person, encrypted.

open ── take ──▶ taken ── answer ──▶ answered     the answer becomes a turn of the session
  └── answer, close ──┴──── close ──▶ closed
"""

import builtins
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy.orm import Session

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption import queries as key_queries
from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.tables import ObjectSubjectRow
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.ids import new_id
from llmos.core.names import check_name
from llmos.core.schemas.handoffs import OPEN_STATES, HandoffDescription
from llmos.core.schemas.turns import Message
from llmos.core.webhooks.events import Event
from llmos.core.webhooks.outbox import Outbox, Prepared
from llmos.data.apps import queries
from llmos.data.apps.opened import find_session
from llmos.data.apps.sealing import existing_key, seal, unseal
from llmos.data.apps.sessions import append_turn, keeps_nothing
from llmos.data.apps.tables import HandoffRow
from llmos.data.retention import Retentions

MAX_ANSWER = 32_768
"""Characters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewHandoff:
    app: str
    key: str
    """Chosen by the application: a request that is sent twice makes one handoff."""
    question: str
    messages: Sequence[Message] = ()
    run_id: str | None = None
    session_id: str | None = None
    user: str = ""
    """The person whose data the handoff contains, by the name in requests, besides the persons of its run and
    session."""
    webhook: str | None = None
    """The name or the URL of a webhook that is notified, besides those that are notified of all handoffs."""


class Handoffs:
    """The handoffs of all projects. A project can't see or detect those of others. Any thread may use it."""

    def __init__(self, database: Database, encryption: Encryption, outbox: Outbox, *, clock: Clock = utc_now) -> None:
        self._database, self._encryption, self._outbox, self._clock = database, encryption, outbox, clock
        self._retentions = Retentions(database, clock=clock)

    def create(self, project: str, new: NewHandoff) -> HandoffDescription:
        """Hand a question over to a person, once for each key.

        Raises Conflict if the project keeps nothing, and NotFound for a run, a session or a webhook that there is not.
        """
        check_name(new.app, "an app")
        retention, now = self._retentions.of(project), self._clock()
        if retention.keeps_nothing:
            raise Conflict(keeps_nothing(project, "handoffs"))
        subjects = self._subjects(project, new)
        id = new_id("handoff")
        key = self._encryption.new_key(id)
        key_row = self._encryption.wrap(key, project, subjects=subjects)
        row = HandoffRow(id=id, project=project, app=new.app, key=new.key, state="open")
        row.run_id, row.session_id = new.run_id, new.session_id
        row.sealed = seal(key, [new.question, [*new.messages]], "handoff")
        row.created_at = row.updated_at = now
        row.expires_at = retention.response_expires_at(now)
        told = self._told(project, _described(row, key), subjects, to=new.webhook)
        with self._database.transaction() as session:
            known = queries.handoff_with_key(session, project, new.key)
            if known is not None:
                return _described(known, existing_key(self._encryption, session, known.id))
            session.add_all([key_row, row])
            session.add_all([ObjectSubjectRow(object_id=id, subject=each, project=project) for each in subjects])
            session.flush()
            self._outbox.add(session, told)
            created = _described(row, key)
        self._outbox.notify()
        return created

    def get(self, project: str, id: str) -> HandoffDescription:
        """Raises NotFound for an unknown or expired one, and for another project's."""
        with self._database.session() as session:
            return _described(*self._existing(session, project, id))

    def list(
        self,
        project: str,
        *,
        app: str | None = None,
        state: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> builtins.list[HandoffDescription]:
        """Return handoffs without their messages, newest first, beginning behind the handoff `after`."""
        now = self._clock()
        with self._database.session() as session:
            before = None if after is None else self._existing(session, project, after)[0].number
            rows = queries.handoffs_page(session, project, now, before=before, limit=limit, app=app, state=state)
            found = [_described(row, existing_key(self._encryption, session, row.id)) for row in rows]
        return [msgspec.structs.replace(each, messages=[]) for each in found]

    def take(self, project: str, id: str, *, actor: str) -> HandoffDescription:
        """Say who looks after it. Raises Conflict if somebody else does, or it has ended."""
        with self._database.transaction() as session:
            row, key = self._existing(session, project, id, lock=True)
            _check_open(row)
            if row.state == "taken" and row.taken_by != actor:
                raise Conflict(f"{row.taken_by} has taken {id}.")
            row.state, row.taken_by, row.updated_at = "taken", actor, self._clock()
            return _described(row, key)

    def answer(self, project: str, id: str, text: str, *, actor: str) -> HandoffDescription:
        """Answer it: in its session, the question and the answer are a turn then.

        Raises Conflict while a run is in the session, and if it has ended.
        """
        if not text.strip() or len(text) > MAX_ANSWER:
            raise BadRequest(f"`text` takes 1 to {MAX_ANSWER:,} characters.", param="text")
        return self._end(project, id, "answered", actor=actor, answer=text)

    def close(self, project: str, id: str, *, reason: str = "", actor: str) -> HandoffDescription:
        """End it without an answer. Raises Conflict if it has ended."""
        return self._end(project, id, "closed", actor=actor, reason=reason)

    def _end(
        self, project: str, id: str, state: str, *, actor: str, answer: str | None = None, reason: str = ""
    ) -> HandoffDescription:
        now, retention = self._clock(), self._retentions.of(project)
        with self._database.session() as session:
            row, key = self._existing(session, project, id)
            _check_open(row)
            subjects = key_queries.subjects_of(session, id)
            ended = msgspec.structs.replace(
                _described(row, key), state=state, answer=answer, reason=reason, ended_by=actor, ended_at=now
            )
        told = self._told(project, ended, subjects)
        with self._database.transaction() as session:
            row, key = self._existing(session, project, id, lock=True)
            _check_open(row)
            question, _ = unseal(key, row.sealed, "handoff")
            row.end, row.state, row.ended_by = seal(key, [answer, reason], "end"), state, actor
            row.updated_at = row.ended_at = now
            row.expires_at = retention.response_expires_at(now)
            if answer is not None and row.session_id is not None:
                row.turn = self._append(session, row, question, answer)
            self._outbox.add(session, told)
            description = _described(row, key)
        self._outbox.notify()
        return description

    def _append(self, session: Session, row: HandoffRow, question: str, answer: str) -> int | None:
        """Append the answer to the session, and return its turn; None if the session is gone."""
        assert row.session_id is not None
        now = self._clock()
        with session.no_autoflush:
            found = find_session(session, self._encryption, row.project, row.session_id, now, lock=True)
        if found is None:
            return None
        if (run := queries.live_run_of(session, row.session_id)) is not None:
            raise Conflict(
                f"The run {run.id} is in the session. Wait until it has ended, or cancel it, before you answer."
            )
        turn = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        append_turn(session, found, turn, now=now, run_id=row.id)
        found.row.expires_at = max(found.row.expires_at, row.expires_at)
        return found.row.num_turns - 1

    def _told(
        self, project: str, description: HandoffDescription, subjects: Sequence[str], *, to: str | None = None
    ) -> Prepared:
        """Return the messages to webhooks."""
        event = f"handoff.{'created' if description.state == 'open' else description.state}"
        # An ended one is told without the conversation, which its receivers have.
        data = description if description.state == "open" else msgspec.structs.replace(description, messages=[])
        told = Event(type=event, key=f"{description.id}:{description.state}", data=data, subjects=subjects)
        return self._outbox.prepare(project, told, to=to)

    def _subjects(self, project: str, new: NewHandoff) -> Sequence[str]:
        """Return the HMACs of the persons whose data it has. Raises NotFound for a run or a session that is unknown."""
        now = self._clock()
        found = {self._encryption.ring.index("subject", project, new.user)} if new.user else set()
        with self._database.session() as session:
            if new.run_id is not None and queries.run_with_key(session, project, new.run_id, now) is None:
                raise NotFound(f"There is no run {new.run_id[:80]!r}.", param="run")
            if new.session_id is not None and queries.session_with_key(session, project, new.session_id, now) is None:
                raise NotFound(f"There is no session {new.session_id[:80]!r}.", param="session")
            for id in (new.run_id, new.session_id):
                found |= set(key_queries.subjects_of(session, id)) if id is not None else set()
        return sorted(found)

    def _existing(self, session: Session, project: str, id: str, *, lock: bool = False) -> tuple[HandoffRow, DataKey]:
        row = queries.handoff(session, project, id, self._clock(), lock=lock)
        if row is None:
            raise NotFound(f"There is no handoff {id[:80]!r}. They are stored as long as the project stores responses.")
        return row, existing_key(self._encryption, session, id)


def _check_open(row: HandoffRow) -> None:
    if row.state not in OPEN_STATES:
        raise Conflict(f"{row.id} has ended: it is {row.state}.")


def _described(row: HandoffRow, key: DataKey) -> HandoffDescription:
    question, messages = unseal(key, row.sealed, "handoff")
    answer, reason = (None, "") if row.end is None else unseal(key, row.end, "end")
    return HandoffDescription(
        id=row.id,
        app=row.app,
        state=row.state,
        question=question,
        messages=messages,
        run=row.run_id,
        session=row.session_id,
        taken_by=row.taken_by,
        answer=answer,
        turn=row.turn,
        reason=reason,
        ended_by=row.ended_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        ended_at=row.ended_at,
        expires_at=row.expires_at,
    )
