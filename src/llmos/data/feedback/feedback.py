"""Feedback: what persons think of answers, each person once for each answer; the last word holds."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption import queries as key_queries
from llmos.core.encryption.data_key import modified
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.tables import ObjectSubjectRow
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.ids import new_id
from llmos.core.schemas.feedback import FeedbackContent, FeedbackDescription, FeedbackKind, FeedbackPage, Rating
from llmos.data.apps.sealing import seal, unseal
from llmos.data.feedback import queries
from llmos.data.feedback.queries import KeyedRow
from llmos.data.feedback.tables import FeedbackRow
from llmos.data.retention import Retentions

_AT_ONCE = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class NewFeedback:
    answer: str
    """The id of the answer."""
    kind: FeedbackKind = "rating"
    rating: Rating = ""
    content: FeedbackContent = field(default_factory=FeedbackContent)
    user: str = ""
    """The person whose data it has; empty: nobody's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedbackFilter:
    """Everything that is given must hold."""

    answer: str | None = None
    kind: str | None = None
    rating: str | None = None


class Feedback:
    """The feedback of all projects. A project can't see or detect that of others. Any thread may use it."""

    def __init__(self, database: Database, encryption: Encryption, *, clock: Clock = utc_now) -> None:
        self._database, self._encryption, self._clock = database, encryption, clock
        self._retentions = Retentions(database, clock=clock)

    def give(self, project: str, actor: str, new: NewFeedback) -> FeedbackDescription:
        """Keep feedback in place of what the actor has said of the answer before.

        Raises BadRequest for feedback that says nothing, and Conflict if the project keeps nothing.
        """
        _check(new)
        retention, now, id = self._retentions.of(project), self._clock(), new_id("feedback")
        if retention.keeps_nothing:
            raise Conflict(
                f"The project {project} stores no data, so it has no feedback. To change that, run:"
                f" llmos project retention {project} --default"
            )
        ring = self._encryption.ring
        subjects = [ring.index("subject", project, new.user)] if new.user else []
        key = self._encryption.new_key(id)
        key_row = self._encryption.wrap(key, project, subjects=subjects)
        row = FeedbackRow(
            id=id,
            project=project,
            actor=actor,
            kind=new.kind,
            answer=new.answer,
            rating=new.rating,
            sealed=seal(key, new.content, "feedback"),
            created_at=now,
            expires_at=retention.response_expires_at(now),
        )
        named = [ObjectSubjectRow(object_id=id, subject=each, project=project) for each in subjects]
        with self._database.transaction() as session:
            if (old := queries.earlier(session, project, actor, new.kind, new.answer)) is not None:
                queries.remove(session, [old.id])
            session.add_all([key_row, row, *named])
            session.flush()
            return self._described((row, key_row))

    def list(
        self, project: str, wanted: FeedbackFilter = FeedbackFilter(), *, after: str | None = None, limit: int = 50
    ) -> FeedbackPage:
        """Return a page, newest first, beginning behind the feedback `after`. Raises NotFound for one that isn't."""
        equal = {"answer": wanted.answer, "kind": wanted.kind, "rating": wanted.rating}
        with self._database.session() as session:
            now = self._clock()
            before = None
            if after is not None:
                if (last := queries.with_id(session, project, after, now)) is None:
                    raise _not_found(after)
                before = last.number
            rows = queries.page(session, project, now, before=before, limit=limit, **equal)
            found = [self._described(each) for each in rows]
        return FeedbackPage(data=found, next=found[-1].id if len(found) == limit else None)

    def all(self, project: str) -> Iterator[FeedbackDescription]:
        """Yield the whole feedback of a project, newest first."""
        after: str | None = None
        while True:
            page = self.list(project, after=after, limit=_AT_ONCE)
            yield from page.data
            if (after := page.next) is None:
                return

    def subject_of(self, id: str) -> str | None:
        """Return the keyed hash of the person whose data feedback has, if any."""
        with self._database.session() as session:
            return next(iter(key_queries.subjects_of(session, id)), None)

    def remove(self, project: str, id: str, *, actor: str) -> None:
        """Delete what the actor has said. Raises NotFound for what isn't there, or is somebody else's."""
        with self._database.transaction(frees_space=True) as session:
            row = queries.with_id(session, project, id, self._clock())
            if row is None or row.actor != actor:
                raise _not_found(id)
            queries.remove(session, [id])

    def _described(self, found: KeyedRow) -> FeedbackDescription:
        row, key_row = found
        if key_row is None:
            raise modified(row.id)
        content = unseal(self._encryption.unwrap(key_row), row.sealed, "feedback")
        return FeedbackDescription(
            id=row.id,
            kind=row.kind,  # type: ignore[arg-type]
            answer=row.answer,
            rating=row.rating,  # type: ignore[arg-type]
            actor=row.actor,
            content=msgspec.convert(content, FeedbackContent),
            created_at=row.created_at,
            expires_at=row.expires_at,
        )


def _check(new: NewFeedback) -> None:
    content = new.content
    if new.kind == "vote":
        if not content.rejected:
            raise BadRequest("A vote needs the other answers. Send them as `rejected`.", param="rejected")
    elif content.rejected:
        raise BadRequest('Only a vote has rejected answers. Send `kind`: "vote".', param="rejected")
    elif not (new.rating or content.correction or content.comment):
        raise BadRequest(
            "The feedback is empty. Send a rating (up or down), a correction or a comment.", param="rating"
        )


def _not_found(id: str) -> NotFound:
    return NotFound(f"There is no feedback {id[:80]!r} of yours. It is stored as long as the project stores responses.")
