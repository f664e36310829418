"""Outbox: messages that are kept in the transaction of what they tell, until they are delivered or given up.

    pending ── 2xx ──▶ delivered
     │  ▲ └── 410, a day without success ──▶ failed
     └──┘ anything else: again after 5 s, 15 s, 45 s … 4 h

A message that is being sent isn't due for a while. If its process dies, it is sent again then, with the same id.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from sqlalchemy.orm import Session

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption import queries as key_queries
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.tables import ObjectKeyRow, ObjectSubjectRow
from llmos.core.errors import BadRequest, LLMOSError, NotFound
from llmos.core.ids import new_id
from llmos.core.schemas.webhooks import AttemptDescription, DeliveryDescription
from llmos.core.webhooks import queries
from llmos.core.webhooks.events import Event
from llmos.core.webhooks.tables import AttemptRow, MessageRow, WebhookRow
from llmos.core.webhooks.webhooks import Webhooks, existing

MAX_BODY_BYTES = 1 << 20

GIVE_UP_AFTER = timedelta(days=1)
KEEP_LOG = timedelta(days=30)
CLAIM = timedelta(seconds=30)
"""A message that is being sent is due again after this time."""

_FIRST_DELAY_SECONDS = 5.0
_FACTOR = 3.0
_MAX_DELAY_SECONDS = 4 * 3600.0

_INTERRUPTED = "The server stopped before there was an answer."

TEST = "webhook.test"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Messages with their keys, ready for a transaction."""

    key: str
    rows: Sequence[tuple[MessageRow, ObjectKeyRow, Sequence[ObjectSubjectRow]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """A message that this process sends."""

    id: str
    number: int
    """The number of the attempt, from 1."""
    url: str
    allow_private: bool
    secrets: Sequence[str]
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The outcome of one attempt."""

    status: int | None = None
    error: str = ""
    seconds: float = 0.0
    retry_after_seconds: float = 0.0

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_final(self) -> bool:
        """The receiver says that it will never take it."""
        return self.status == 410


class Outbox:
    """The messages of all projects. Any thread, and any number of servers, may use it."""

    def __init__(
        self, database: Database, encryption: Encryption, webhooks: Webhooks, *, clock: Clock = utc_now
    ) -> None:
        self._database, self._encryption, self._webhooks, self._clock = database, encryption, webhooks, clock
        self.on_change: Callable[[], None] | None = None

    def notify(self) -> None:
        """Say that there are messages, after the transaction that added them."""
        if self.on_change is not None:
            self.on_change()

    def prepare(self, project: str, event: Event, *, to: str | None = None, only: bool = False) -> Prepared:
        """Make the messages of an event, one for each webhook that is told it. Outside of a transaction.

        to: the name or the URL of a webhook that is told it in any case. only: and no other one.
        Raises NotFound for a webhook that there is not, and BadRequest for an event that is too large.
        """
        now = self._clock()
        with self._database.session() as session:
            rows = queries.webhooks(session, project)
            chosen = None if to is None else _find(session, rows, project, to)
        told = [] if only else [row for row in rows if not row.events or event.type in row.events]
        told += [chosen] if chosen is not None and chosen not in told else []
        body = msgspec.json.encode({"type": event.type, "timestamp": now, "data": event.data})
        if len(body) > MAX_BODY_BYTES:
            raise BadRequest(f"The message has {len(body):,} bytes; at most {MAX_BODY_BYTES:,} are sent.")
        return Prepared(event.key, [self._message(row, event, body, now) for row in told])

    def add(self, session: Session, prepared: Prepared) -> Sequence[str]:
        """Keep messages in a transaction, but those that were added before. Return their ids."""
        known = queries.known_keys(session, [message.webhook_id for message, _, _ in prepared.rows], prepared.key)
        new = [each for each in prepared.rows if each[0].webhook_id not in known]
        for message, key, subjects in new:
            session.add_all([message, key, *subjects])
        session.flush()
        return [message.id for message, _, _ in new]

    def add_test(self, project: str, name: str) -> Claimed:
        """Keep the message of a test, and return it, to be sent at once."""
        event = Event(type=TEST, key=new_id("test"), data={"webhook": name})
        with self._database.session() as session:
            existing(session, project, name)
        prepared = self.prepare(project, event, to=name, only=True)
        with self._database.transaction() as session:
            (id,) = self.add(session, prepared)
            row = queries.message(session, id, lock=True)
            assert row is not None, "it was added"
            return self._claim(session, row)

    def webhooks_with_due(self, limit: int = 256) -> Sequence[str]:
        """Return the ids of webhooks with messages that are due."""
        with self._database.session() as session:
            return queries.webhooks_with_due(session, self._clock(), limit)

    def claim(self, webhook_id: str) -> Claimed | None:
        """Return the webhook's message that is due first, for this process to send. None: there is none.

        One that can't be read any more, such as that of a person whose data was erased, is given up.
        """
        while True:
            with self._database.transaction() as session:
                row = queries.due_message(session, webhook_id, self._clock())
                if row is None:
                    return None
                try:
                    return self._claim(session, row)
                except LLMOSError as error:
                    session.flush()
                    self._end(session, row, "failed")
                    _record(session, row, Outcome(error=error.message))

    def finish(self, claimed: Claimed, outcome: Outcome, *, again: bool = True) -> DeliveryDescription:
        """Write down what became of an attempt. `again`: try again later if it failed."""
        now = self._clock()
        with self._database.transaction() as session:
            row = queries.message(session, claimed.id, lock=True)
            if row is None:
                raise NotFound(f"The message {claimed.id} was removed meanwhile.")
            attempt = queries.attempt(session, row.id, claimed.number)
            assert attempt is not None, "it was claimed"
            attempt.status, attempt.error, attempt.seconds = outcome.status, outcome.error[:1000], outcome.seconds
            due = now + timedelta(seconds=max(delay_seconds(claimed.number), outcome.retry_after_seconds))
            if row.state == "pending":
                if outcome.is_delivered:
                    self._end(session, row, "delivered")
                elif outcome.is_final or not again or due > row.created_at + GIVE_UP_AFTER:
                    self._end(session, row, "failed")
                else:
                    row.next_attempt_at = due
            session.flush()
            webhook = queries.webhook_with_id(session, row.webhook_id)
            return _described(row, webhook.name if webhook else "", queries.attempts(session, [row.id])[row.id])

    def deliveries(
        self,
        project: str,
        name: str | None = None,
        *,
        state: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[DeliveryDescription]:
        """Return the messages of one webhook, or of all, newest first, beginning behind the message `after`."""
        with self._database.session() as session:
            rows = queries.webhooks(session, project) if name is None else [existing(session, project, name)]
            names = {row.id: row.name for row in rows}
            before = None
            if after is not None:
                last = queries.message(session, after) if after.isprintable() else None
                if last is None or last.webhook_id not in names:
                    raise NotFound(f"There is no message {after[:80]!r}.", param="after")
                before = last.number
            messages = queries.messages_page(session, list(names), state=state, before=before, limit=limit)
            attempts = queries.attempts(session, [each.id for each in messages])
            return [_described(each, names[each.webhook_id], attempts[each.id]) for each in messages]

    def _message(
        self, webhook: WebhookRow, event: Event, body: bytes, now: datetime
    ) -> tuple[MessageRow, ObjectKeyRow, Sequence[ObjectSubjectRow]]:
        id, project = new_id("msg"), webhook.project
        key = self._encryption.new_key(id)
        row = MessageRow(id=id, webhook_id=webhook.id, project=project, event=event.type, key=event.key)
        row.sealed, row.state, row.num_attempts = key.seal(body, b"body"), "pending", 0
        row.created_at = row.next_attempt_at = now
        row.expires_at = now + KEEP_LOG
        subjects = [ObjectSubjectRow(object_id=id, subject=each, project=project) for each in event.subjects]
        return row, self._encryption.wrap(key, project, subjects=event.subjects), subjects

    def _claim(self, session: Session, row: MessageRow) -> Claimed:
        """Begin an attempt. Raises LLMOSError for a message that can't be read."""
        row.num_attempts += 1
        row.next_attempt_at = self._clock() + CLAIM
        _record(session, row, Outcome(error=_INTERRUPTED))
        row_of_webhook = queries.webhook_with_id(session, row.webhook_id)
        key = self._encryption.key_of(session, row.id)
        if row_of_webhook is None or row.sealed is None or key is None:
            raise NotFound("The message or its webhook was removed.")
        return Claimed(
            id=row.id,
            number=row.num_attempts,
            url=row_of_webhook.url,
            allow_private=row_of_webhook.allow_private,
            secrets=self._webhooks.secrets_of(session, row_of_webhook),
            body=key.open(row.sealed, b"body"),
        )

    def _end(self, session: Session, row: MessageRow, state: str) -> None:
        """End a delivery, and forget the content of what was sent, or isn't sent any more."""
        row.state, row.sealed, row.ended_at = state, None, self._clock()
        key_queries.remove_object_keys(session, [row.id])


def delay_seconds(num_attempts: int, draw: Callable[[], float] = random.random) -> float:
    """Return the time until the next attempt: three times as long after each, and up to a fifth more or less."""
    delay = min(_FIRST_DELAY_SECONDS * _FACTOR ** (num_attempts - 1), _MAX_DELAY_SECONDS)
    return delay * (0.8 + 0.4 * draw())


def _find(session: Session, rows: Sequence[WebhookRow], project: str, to: str) -> WebhookRow:
    by_url = next((row for row in rows if row.url.rstrip("/") == to.rstrip("/")), None)
    if by_url is None and "://" in to:
        raise NotFound(
            f"No webhook of the project {project} has the URL {to[:200]}. To add it: llmos webhook add NAME {to[:200]}",
            param="webhook",
        )
    return by_url or existing(session, project, to)


def _record(session: Session, row: MessageRow, outcome: Outcome) -> None:
    known = queries.attempt(session, row.id, row.num_attempts)
    if known is None:
        known = AttemptRow(message_id=row.id, number=row.num_attempts, at=row.next_attempt_at - CLAIM)
        session.add(known)
    known.status, known.error, known.seconds = outcome.status, outcome.error, outcome.seconds


def _described(row: MessageRow, webhook: str, attempts: Sequence[AttemptRow]) -> DeliveryDescription:
    return DeliveryDescription(
        id=row.id,
        webhook=webhook,
        event=row.event,
        state=row.state,
        created_at=row.created_at,
        next_attempt_at=row.next_attempt_at if row.state == "pending" else None,
        ended_at=row.ended_at,
        attempts=[_described_attempt(each) for each in attempts],
    )


def _described_attempt(row: AttemptRow) -> AttemptDescription:
    return AttemptDescription(number=row.number, at=row.at, status=row.status, error=row.error, seconds=row.seconds)
