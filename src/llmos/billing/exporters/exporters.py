"""Exporters: where the entries of the ledger are sent, with the receivers' API keys, encrypted.

A key is bound to its exporter's name, kind and URL: somebody who can write to the database, but has no master key,
can't have it sent to another address. It has a data key, under the key of the installation's own project.
"""

import builtins
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from llmos.billing.exporters import queries
from llmos.billing.exporters.events import (
    DEFAULT_SOURCE,
    DEFAULT_TYPES,
    FORMATS,
    KINDS,
    SUBJECTS,
    EventOptions,
    probe_event,
)
from llmos.billing.exporters.sending import Channel
from llmos.billing.exporters.tables import ExporterRow, RefusedRow
from llmos.billing.tables import LedgerRow
from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption import queries as key_queries
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.tables import ObjectKeyRow
from llmos.core.errors import BadRequest, Conflict, NotFound, StoreFailed
from llmos.core.ids import new_id
from llmos.core.names import check_name
from llmos.core.posting import Poster
from llmos.core.receiver_urls import check_url
from llmos.core.schemas.exporters import ExporterDescription, ExporterDetails, ExporterTest, RefusedEntry
from llmos.core.suggest import nearest

OWNER = "owner"

MAX_EXPORTERS = 16
MAX_KEY_LENGTH = 8192
MAX_SHOWN = 100
"""Refused entries in a description."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewExporter:
    name: str
    kind: str
    url: str
    key: str | None = None
    """Sent as `Authorization: Bearer`."""
    subject: str = "project"
    type: str = ""
    """Empty: llmos.usage, or llmos for Lago."""
    source: str = DEFAULT_SOURCE
    start: datetime | None = None
    """Entries from this time on are sent; by default those from now on."""
    allow_private: bool = False


class Exporters:
    """The exporters of the installation. Any thread may use it."""

    def __init__(self, database: Database, encryption: Encryption, *, clock: Clock = utc_now) -> None:
        self._database, self._encryption, self._clock = database, encryption, clock

    def add(self, new: NewExporter) -> ExporterDescription:
        """Raises BadRequest, and Conflict for a name that is taken."""
        check_name(new.name, "an exporter")
        kind, subject = _one_of(new.kind, KINDS, "kind"), _one_of(new.subject, SUBJECTS, "subject")
        url = _check_url(new.url, kind, new.allow_private)
        row = ExporterRow(id=new_id("exporter"), name=new.name, kind=kind, url=url, subject=subject)
        row.event_type = _check_text(new.type or DEFAULT_TYPES[kind], "type", 64)
        row.source, row.allow_private = _check_text(new.source, "source", 256), new.allow_private
        row.sealed_key, object_key = (None, None) if new.key is None else self._seal(row, _check_key(new.key))
        row.is_paused, row.error, row.lease, row.num_delivered, row.num_failures = False, "", "", 0, 0
        row.created_at = row.next_attempt_at = self._clock()
        with self._database.transaction() as session:
            rows = queries.exporters(session)
            if any(each.name == new.name for each in rows):
                raise Conflict(f"There is an exporter {new.name} already. Remove it first, or choose another name.")
            if len(rows) >= MAX_EXPORTERS:
                raise Conflict(f"There are {MAX_EXPORTERS} exporters, the maximum. Remove one first.")
            if new.start is None:
                row.sent_through = queries.last_number(session)
            else:
                row.sent_through = queries.last_number_before(session, int(new.start.timestamp()))
            session.add_all([row, *([object_key] if object_key is not None else [])])
            session.flush()
            describe_action(new.name, kind=kind, url=url)
            return self._described(session, row, {})

    def list(self) -> builtins.list[ExporterDescription]:
        with self._database.session() as session:
            refused = queries.num_refused(session)
            return [self._described(session, row, refused) for row in queries.exporters(session)]

    def get(self, name: str) -> ExporterDetails:
        """Raises NotFound, with the nearest names."""
        with self._database.session() as session:
            row = existing(session, name)
            fields = self._fields(session, row, queries.num_refused(session))
            refused = [_refused(*each) for each in queries.refused(session, row.id, MAX_SHOWN)]
            return ExporterDetails(**fields, refused=refused)

    def pause(self, name: str) -> ExporterDescription:
        """Stop sending until the exporter is resumed. Events that are on their way arrive."""
        return self._change(name, is_paused=True)

    def resume(self, name: str) -> ExporterDescription:
        """Continue after a pause, or retry at once after a failure."""
        return self._change(name, is_paused=False)

    def retry(self, name: str) -> ExporterDescription:
        """Send the entries that were refused once more."""
        with self._database.transaction() as session:
            row = existing(session, name)
            num_waiting = queries.mark_waiting(session, row.id)
            row.next_attempt_at = self._clock()
            describe_action(name, num_refused=num_waiting)
            session.flush()
            return self._described(session, row, queries.num_refused(session))

    def remove(self, name: str) -> None:
        """Delete an exporter with its key, and what it knows of refused entries."""
        with self._database.transaction(frees_space=True) as session:
            row = existing(session, name)
            key_queries.remove_object_keys(session, [row.id])
            queries.remove(session, row)

    async def test(self, name: str, poster: Poster) -> ExporterTest:
        """Send an event that counts nothing, and return what the receiver answered."""
        with self._database.session() as session:
            channel = self.channel_of(session, existing(session, name))
        event = probe_event(channel.options, new_id("test"), self._clock())
        reply = await channel.send(poster, [event])
        return ExporterTest(
            is_accepted=reply.is_success,
            status=reply.status,
            error=reply.error,
            seconds=reply.seconds,
            event=dict(event.body),
        )

    def channel_of(self, session: Session, row: ExporterRow) -> Channel:
        """Return what sends events to the receiver. Raises StoreFailed if the key can't be read."""
        return Channel(
            url=FORMATS[row.kind].url(row.url),
            key=self._key_of(session, row),
            allow_private=row.allow_private,
            options=EventOptions(kind=row.kind, type=row.event_type, source=row.source, subject=row.subject),
        )

    def _key_of(self, session: Session, row: ExporterRow) -> str | None:
        if row.sealed_key is None:
            return None
        try:
            key = self._encryption.key_of(session, row.id)
            if key is None:
                raise StoreFailed("It was encrypted under a key that is lost.")
            return key.open(row.sealed_key, _bound_to(row)).decode()
        except (NotFound, StoreFailed) as error:
            raise StoreFailed(
                f"The key of the exporter {row.name} can't be read. {error.message} Remove the exporter, and add it"
                " again with its key and `--from`."
            ) from error

    def _seal(self, row: ExporterRow, key: str) -> tuple[bytes, ObjectKeyRow]:
        data_key = self._encryption.new_key(row.id)
        return data_key.seal(key.encode(), _bound_to(row)), self._encryption.wrap(data_key, OWNER)

    def _change(self, name: str, *, is_paused: bool) -> ExporterDescription:
        with self._database.transaction() as session:
            row = existing(session, name)
            row.is_paused, row.next_attempt_at = is_paused, self._clock()
            session.flush()
            return self._described(session, row, queries.num_refused(session))

    def _described(self, session: Session, row: ExporterRow, refused: dict[str, int]) -> ExporterDescription:
        return ExporterDescription(**self._fields(session, row, refused))

    def _fields(self, session: Session, row: ExporterRow, refused: dict[str, int]) -> dict[str, Any]:
        oldest = queries.first_at_behind(session, row.sent_through)
        is_waiting = row.num_failures > 0
        return {
            "name": row.name,
            "kind": row.kind,
            "url": row.url,
            "has_key": row.sealed_key is not None,
            "subject": row.subject,
            "type": row.event_type,
            "source": row.source,
            "allow_private": row.allow_private,
            "state": "paused" if row.is_paused else "waiting" if is_waiting else "running",
            "num_delivered": row.num_delivered,
            "num_pending": queries.num_behind(session, row.sent_through),
            "num_refused": refused.get(row.id, 0),
            "oldest_pending_at": None if oldest is None else datetime.fromtimestamp(oldest, UTC),
            "delivered_at": row.delivered_at,
            "error": row.error,
            "next_attempt_at": row.next_attempt_at if is_waiting and not row.is_paused else None,
            "created_at": row.created_at,
        }


def existing(session: Session, name: str) -> ExporterRow:
    """Raises NotFound, with the nearest names."""
    row = queries.exporter(session, name) if name.isprintable() else None
    if row is None:
        near = nearest(name, [each.name for each in queries.exporters(session)])
        hint = f" Did you mean {' or '.join(near)}?" if near else " See: llmos exporter list"
        raise NotFound(f"There is no exporter {name[:80]!r}.{hint}", param="name")
    return row


def _refused(row: RefusedRow, entry: LedgerRow) -> RefusedEntry:
    return RefusedEntry(
        entry=f"{entry.call_id}/{entry.line}",
        at=datetime.fromtimestamp(entry.at, UTC),
        reason=row.reason,
        refused_at=row.refused_at,
        is_waiting=row.is_waiting,
    )


def _one_of(value: str, known: tuple[str, ...], param: str) -> str:
    if value not in known:
        near = nearest(value, [*known], 1)
        hint = f"Did you mean {near[0]}?" if near else f"It takes {', '.join(known)}."
        raise BadRequest(f"`{param}` is {value[:80]!r}. {hint}", param=param)
    return value


def _check_url(text: str, kind: str, allow_private: bool) -> str:
    url = check_url(text, allow_private=allow_private, instead="Give the key separately; it is encrypted.")
    if kind != "cloudevents" and ("?" in url or "#" in url):
        raise BadRequest(
            "`url` is the address of the service, without ? and #, such as https://openmeter.example.com.", param="url"
        )
    return url


def _check_text(value: str, param: str, max_length: int) -> str:
    if not (value.isascii() and value.isprintable() and " " not in value and 0 < len(value) <= max_length):
        raise BadRequest(
            f"`{param}` takes up to {max_length} printable ASCII characters without spaces, such as llmos.usage.",
            param=param,
        )
    return value


def _check_key(key: str) -> str:
    if not (key.isascii() and key.isprintable() and " " not in key and 0 < len(key) <= MAX_KEY_LENGTH):
        raise BadRequest(
            "The key can't be sent in an HTTP header: it takes printable ASCII characters without spaces.", param="key"
        )
    return key


def _bound_to(row: ExporterRow) -> bytes:
    return f"exporter\n{row.name}\n{row.kind}\n{row.url}".encode()
