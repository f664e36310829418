"""ExportBatches: which entries are sent next, and how far each exporter is.

claim() ── under a lease, so that one server sends for an exporter ──▶ send ──▶ finish() moves the exporter on

A server that dies in between leaves the lease, which ends by itself; the same entries are sent again then, with the
same ids. Entries are numbered in the order in which their transactions end, so that none appears later below a number
that was sent.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from llmos.billing import queries as ledger_queries
from llmos.billing.entries import MEASURES
from llmos.billing.exporters import queries
from llmos.billing.exporters.events import Line
from llmos.billing.exporters.exporters import Exporters
from llmos.billing.exporters.sending import Channel, Delivery
from llmos.billing.exporters.tables import ExporterRow, RefusedRow
from llmos.billing.tables import LedgerRow
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import StoreFailed
from llmos.core.ids import new_id
from llmos.core.posting import Reply
from llmos.core.webhooks.outbox import delay_seconds

_log = logging.getLogger(__name__)

MAX_LINES = 200
"""Entries of a batch."""

LEASE = timedelta(seconds=90)
"""Longer than a batch takes: BATCH_SECONDS, and the last request."""

MAX_DELAY_SECONDS = 300.0
"""Between attempts; a receiver may ask for more."""

MAX_REFUSED = 10_000
"""Then the exporter is paused: rather than the entries, the receiver's settings are wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A batch that this process sends."""

    exporter_id: str
    name: str
    lease: str
    channel: Channel
    lines: Sequence[Line]
    is_retry: bool
    """The entries were refused before."""


class ExportBatches:
    """Any thread, and any number of servers, may use it."""

    def __init__(self, database: Database, exporters: Exporters, *, clock: Clock = utc_now) -> None:
        self._database, self._exporters, self._clock = database, exporters, clock

    def due(self) -> Sequence[str]:
        """Return the ids of the exporters that have something to send."""
        with self._database.session() as session:
            return queries.due(session, self._clock())

    def claim(self, exporter_id: str) -> Claim | None:
        """Return what is sent next, for this process to send. None: nothing, or another one sends."""
        now = self._clock()
        with self._database.counting() as session:
            row = queries.free_exporter(session, exporter_id, now)
            if row is None:
                return None
            entries = queries.waiting_entries(session, row.id, MAX_LINES)
            is_retry = bool(entries)
            entries = entries or queries.entries_behind(session, row.sent_through, MAX_LINES)
            if not entries:
                return None
            try:
                channel = self._exporters.channel_of(session, row)
            except StoreFailed as error:
                _fail(row, Reply(error=error.message), now)
                return None
            row.lease, row.leased_until = new_id("lease"), now + LEASE
            return Claim(
                exporter_id=row.id,
                name=row.name,
                lease=row.lease,
                channel=channel,
                lines=_lines(session, entries, with_users=row.subject == "user"),
                is_retry=is_retry,
            )

    def finish(self, claim: Claim, delivery: Delivery) -> None:
        """Write down what became of a batch. Does nothing if the lease has ended: another process sends it then."""
        now = self._clock()
        with self._database.counting() as session:
            row = queries.exporter_with_id(session, claim.exporter_id, lock=True)
            if row is None or row.lease != claim.lease:
                return
            row.lease, row.leased_until = "", None
            done = _done(claim, delivery)
            if done:
                taken = [number for number in done if number in delivery.taken]
                row.num_delivered += len(taken)
                row.num_failures, row.error, row.next_attempt_at = 0, "", now
                row.delivered_at = now if taken else row.delivered_at
                refused = {number: delivery.refused[number] for number in done if number in delivery.refused}
                _keep(session, row.id, taken, refused, now)
                if not claim.is_retry:
                    row.sent_through = done[-1]
                if refused:
                    self._check_refused(session, row, claim, refused)
            if delivery.failure is not None:
                _fail(row, delivery.failure, now)
                _log.warning("The exporter %s can't deliver; trying again: %s", claim.name, row.error)

    def _check_refused(self, session: Session, row: ExporterRow, claim: Claim, refused: dict[int, str]) -> None:
        number, reason = next(iter(refused.items()))
        entry = next(line.key for line in claim.lines if line.number == number)
        _log.error(
            "The receiver of the exporter %s refuses %d entries, such as %s: %s. See: llmos exporter show %s",
            row.name, len(refused), entry, reason, row.name,
        )  # fmt: skip
        session.flush()
        if (num := queries.num_refused(session).get(row.id, 0)) >= MAX_REFUSED:
            row.is_paused = True
            row.error = (
                f"The receiver has refused {num:,} entries. Mend its settings, then: llmos exporter retry {row.name};"
                f" llmos exporter resume {row.name}"
            )


def _done(claim: Claim, delivery: Delivery) -> list[int]:
    """Return the numbers of the entries that are taken or refused; of new ones, only those that none before blocks."""
    known = delivery.taken | delivery.refused.keys()
    done: list[int] = []
    for line in claim.lines:
        if line.number in known:
            done.append(line.number)
        elif not claim.is_retry:
            break
    return done


def _keep(session: Session, exporter_id: str, taken: Sequence[int], refused: dict[int, str], now: datetime) -> None:
    queries.remove_refused(session, exporter_id, taken)
    known = queries.refused_rows(session, exporter_id, refused)
    for number, reason in refused.items():
        row = known.get(number) or RefusedRow(exporter_id=exporter_id, number=number)
        row.reason, row.refused_at, row.is_waiting = reason, now, False
        session.add(row)


def _fail(row: ExporterRow, reply: Reply, now: datetime) -> None:
    row.num_failures += 1
    row.error = reply.error[:1000]
    delay = max(min(delay_seconds(row.num_failures), MAX_DELAY_SECONDS), reply.retry_after_seconds)
    row.next_attempt_at = now + timedelta(seconds=delay)


def _lines(session: Session, entries: Sequence[LedgerRow], *, with_users: bool) -> Sequence[Line]:
    numbers = {each.user_number for each in entries if each.user_number is not None} if with_users else set()
    names = ledger_queries.user_names(session, numbers)
    return [_line(each, names.get(each.user_number or 0) or "") for each in entries]


def _line(row: LedgerRow, user: str) -> Line:
    return Line(
        number=row.number,
        call_id=row.call_id,
        line=row.line,
        request_id=row.request_id,
        at=row.at,
        project=row.project,
        key_id=row.key_id,
        user=user,
        route=row.route,
        version=row.version,
        app=row.app,
        operation=row.operation,
        outcome=row.outcome,
        is_background=row.is_background,
        measures={name: getattr(row, name) for name in MEASURES},
        cost_nanos=row.cost_nanos,
        currency=row.currency,
        price_version=row.price_version,
        reversal_of=row.reversal_of,
    )
