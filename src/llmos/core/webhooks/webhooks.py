"""Webhooks: the receivers of a project, and the secrets that their messages are signed with, encrypted.

Secrets are bound to the project, the name and the URL: somebody who can write to the database, but has no master key,
can't have messages signed for another address.
"""

import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption.data_key import DataKey, modified
from llmos.core.encryption.encryption import Encryption
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.ids import new_id
from llmos.core.names import check_name
from llmos.core.receiver_urls import check_url
from llmos.core.schemas.webhooks import NewWebhookDescription, WebhookDescription
from llmos.core.suggest import nearest
from llmos.core.webhooks import queries
from llmos.core.webhooks.events import check_events
from llmos.core.webhooks.signing import new_secret
from llmos.core.webhooks.tables import WebhookRow

MAX_WEBHOOKS = 64
"""The maximum number of webhooks of a project."""

OVERLAP = timedelta(hours=24)
"""The time that messages are signed with the old secret, too, after a rotation."""

_TAKEN = "deliveries"
"""A path of the API that stands beside the names."""

Secrets = list[tuple[str, datetime | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewWebhook:
    name: str
    url: str
    events: Sequence[str] = ()
    """Empty: all."""
    allow_private: bool = False


class Webhooks:
    """The webhooks of all projects. A project can't see those of others. Any thread may use it."""

    def __init__(self, database: Database, encryption: Encryption, *, clock: Clock = utc_now) -> None:
        self._database, self._encryption, self._clock = database, encryption, clock

    def add(self, project: str, new: NewWebhook) -> NewWebhookDescription:
        """Add a webhook, and return its secret, this once. Raises BadRequest, and Conflict for a name that is taken."""
        check_name(new.name, "a webhook")
        if new.name == _TAKEN:
            raise BadRequest(f"{_TAKEN!r} can't be the name of a webhook: choose another one.", param="name")
        url, events = _check_url(new), check_events(new.events)
        id, secret, now = new_id("webhook"), new_secret(), self._clock()
        key = self._encryption.new_key(id)
        key_row = self._encryption.wrap(key, project)
        sealed = key.seal(msgspec.json.encode([(secret, None)]), _bound_to(project, new.name, url))
        with self._database.transaction() as session:
            rows = queries.webhooks(session, project)
            if any(row.name == new.name for row in rows):
                raise Conflict(f"There is a webhook {new.name} already. Remove it first, or choose another name.")
            if len(rows) >= MAX_WEBHOOKS:
                raise Conflict(f"The project {project} has {MAX_WEBHOOKS} webhooks, and can't have more.")
            row = WebhookRow(id=id, project=project, name=new.name, url=url, events=events, sealed=sealed)
            row.allow_private, row.created_at = new.allow_private, now
            session.add_all([key_row, row])
            session.flush()
            describe_action(new.name, url=url)
            return NewWebhookDescription(**_fields(row, now), secret=secret)

    def get(self, project: str, name: str) -> WebhookDescription:
        """Raises NotFound, with the nearest names."""
        with self._database.session() as session:
            row = existing(session, project, name)
            return _described(row, queries.num_pending(session, project), self._clock())

    def list(self, project: str) -> builtins.list[WebhookDescription]:
        now = self._clock()
        with self._database.session() as session:
            pending = queries.num_pending(session, project)
            return [_described(row, pending, now) for row in queries.webhooks(session, project)]

    def rotate(self, project: str, name: str, *, overlap: timedelta = OVERLAP) -> NewWebhookDescription:
        """Replace the secret, and return the new one, this once. For `overlap`, messages are signed with both."""
        now = self._clock()
        with self._database.transaction() as session:
            row = existing(session, project, name)
            (newest, _), *_ = self._secrets(session, row)
            secret = new_secret()
            secrets: Secrets = [(secret, None), *([(newest, now + overlap)] if overlap else [])]
            row.sealed = self._key(session, row).seal(msgspec.json.encode(secrets), _bound_to(project, name, row.url))
            row.old_secret_expires_at = now + overlap if overlap else None
            return NewWebhookDescription(**_fields(row, now), secret=secret)

    def remove(self, project: str, name: str) -> None:
        """Delete a webhook with its messages, delivered or not."""
        with self._database.transaction(frees_space=True) as session:
            queries.remove_webhook(session, existing(session, project, name))

    def secrets_of(self, session: Session, row: WebhookRow) -> Sequence[str]:
        """Return the secrets that messages are signed with now, the newest first. Raises StoreFailed."""
        now = self._clock()
        return [secret for secret, until in self._secrets(session, row) if until is None or until > now]

    def _secrets(self, session: Session, row: WebhookRow) -> Secrets:
        content = self._key(session, row).open(row.sealed, _bound_to(row.project, row.name, row.url))
        return msgspec.json.decode(content, type=Secrets)

    def _key(self, session: Session, row: WebhookRow) -> DataKey:
        key = self._encryption.key_of(session, row.id)
        if key is None:
            raise modified(row.id)
        return key


def existing(session: Session, project: str, name: str) -> WebhookRow:
    """Raises NotFound, with the nearest names."""
    row = queries.webhook(session, project, name) if name.isprintable() else None
    if row is None:
        near = nearest(name, [each.name for each in queries.webhooks(session, project)])
        hint = f" Did you mean {' or '.join(near)}?" if near else " See: llmos webhook list"
        raise NotFound(f"There is no webhook {name[:80]!r}.{hint}", param="name")
    return row


def _check_url(new: NewWebhook) -> str:
    return check_url(new.url, allow_private=new.allow_private, instead="Messages are signed instead.")


def _bound_to(project: str, name: str, url: str) -> bytes:
    return f"webhook\n{project}\n{name}\n{url}".encode()


def _described(row: WebhookRow, pending: dict[str, int], now: datetime) -> WebhookDescription:
    return WebhookDescription(**_fields(row, now), num_pending=pending.get(row.id, 0))


def _fields(row: WebhookRow, now: datetime) -> dict[str, Any]:
    expires_at = row.old_secret_expires_at
    return {
        "name": row.name,
        "url": row.url,
        "events": [*row.events],
        "allow_private": row.allow_private,
        "old_secret_expires_at": expires_at if expires_at is not None and expires_at > now else None,
        "created_at": row.created_at,
    }
