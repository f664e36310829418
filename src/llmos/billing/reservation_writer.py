"""ReservationWriter: reserves for calls in groups, one transaction for all that gathered during the one before.

reserve() ──▶ waiting ──▶ one transaction ──▶ a Grant, or why the call is refused
end()     ──▶ released in the next one, unless the ledger's entry of the call releases it

Once a second it writes down what running calls have computed. If the server is killed, the next one enters that into
the ledger, and releases the rest: at once if it has the same LLMOS_HOME, otherwise when the dead server's lease ends.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec
from sqlalchemy.orm import Session

from llmos.billing import limit_queries as queries
from llmos.billing.entries import Entry
from llmos.billing.ledger import Ledger
from llmos.billing.ledger_writer import GATHER_SECONDS, LedgerWriter
from llmos.billing.reservations import Grant, Outcome, Reservations, Want
from llmos.core.database import Database
from llmos.core.errors import LLMOSError, Unavailable
from llmos.core.ids import new_id

_log = logging.getLogger(__name__)

PROGRESS_SECONDS = 1.0
"""The interval at which the progress of running calls is stored."""

LEASE_SECONDS = 60
"""A server on another machine that hasn't renewed its lease for this long counts as dead."""

RENEW_SECONDS = 10.0

KEEP_DAYS = 70
"""Counts of periods before that are removed. Longer than the longest period."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode

PRUNE_SECONDS = 3600.0

Draft = Callable[[], Entry | None]
"""Returns the entry that a running call would have now; None if it has computed nothing yet. Any thread may call it."""


@dataclass(slots=True)
class _Step:
    want: Want
    granted: "Future[Grant | None]" = field(default_factory=Future)


class ReservationWriter:
    """Any thread may use it."""

    def __init__(
        self,
        database: Database,
        reservations: Reservations,
        ledger: Ledger,
        ledger_writer: LedgerWriter,
        folder: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`folder`: where servers with this LLMOS_HOME show that they live."""
        self._database, self._reservations, self._ledger = database, reservations, ledger
        self._ledger_writer, self._folder, self._monotonic = ledger_writer, folder, monotonic
        self.server_id = new_id("server")
        self._changed, self._closing = threading.Condition(), threading.Event()
        self._waiting: list[_Step] = []
        self._ended: set[str] = set()
        """Calls to release."""
        self._open: dict[str, Draft] = {}
        self._written: dict[str, bytes] = {}
        """The drafts in the database."""
        self._lock: BinaryIO | None = None
        self._renewed_at: float | None = None
        self._is_writing = self._is_closed = self._has_others = self._has_charged = False
        self._left: set[str] = set()
        """Ended calls whose entries had released nothing when this was looked at last."""
        self._retry_at = 0.0
        """No release before that: the database has failed."""
        self._progress_at = self._prune_at = 0.0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Settle what servers have left that were killed."""
        with self._changed:
            self._has_others = True
            self._ensure_thread()

    def reserve(self, want: Want, draft: Draft) -> "Future[Grant | None]":
        """Reserve soon. The result is None where the limits pay for a part only, and the call may not be shortened.

        Its exception is the LLMOSError that refuses the call. Whoever doesn't wait any more must call end().
        """
        step = _Step(want)
        with self._changed:
            self._waiting.append(step)
            self._open[want.call_id] = draft
            self._ensure_thread()
            self._changed.notify_all()
        return step.granted

    def end(self, call_id: str, *, is_charged: bool) -> None:
        """A call has ended. `is_charged`: its entry is on the way to the ledger, which releases what the call holds."""
        with self._changed:
            self._open.pop(call_id, None)
            self._written.pop(call_id, None)
            if is_charged:
                self._has_charged = True
            else:
                self._ended.add(call_id)
                self._changed.notify_all()

    def flush(self) -> None:
        """Return when what ended so far is released."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or not (self._waiting or self._ended or self._is_writing))

    def close(self) -> None:
        """Release what has ended, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._closing.set()
            self._changed.notify_all()
        if self._thread is None:
            self._leave()
        else:
            self._thread.join()

    def _ensure_thread(self) -> None:
        if self._thread is None and not self._is_closed:
            self._thread = threading.Thread(target=self._run, name="reservations", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        is_busy = False
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work, self._seconds_to_tick())
            if is_busy:
                self._closing.wait(GATHER_SECONDS)  # Without the lock: those who come wake nobody.
            with self._database.counting_turn():
                with self._changed:
                    steps, self._waiting = self._waiting, []
                    ended, self._ended = self._ended, set()
                    self._is_writing, is_last = True, self._is_closed
                is_busy = len(steps) > 1
                steps = [step for step in steps if step.granted.set_running_or_notify_cancel()]
                self._write(steps, ended)
            if is_last:
                self._leave()
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
            if is_last:
                return

    def _has_work(self) -> bool:
        can_release = bool(self._ended) and self._monotonic() >= self._retry_at
        return bool(self._waiting) or can_release or self._is_closed

    def _seconds_to_tick(self) -> float | None:
        """Return when something is to do without a call that begins or ends; None: never."""
        if self._open or self._ended:
            at = max(self._retry_at, self._progress_at + PROGRESS_SECONDS)
        elif self._has_others or self._has_charged or self._left:
            at = max(self._retry_at, 0.0 if self._renewed_at is None else self._renewed_at + RENEW_SECONDS)
        else:
            return None
        return max(0.0, at - self._monotonic())

    def _write(self, steps: Sequence[_Step], ended: set[str]) -> None:
        try:
            self._renew_if_due()
            outcomes, drafts = self._apply(steps, ended)
        except Exception as error:
            if steps:
                _log.exception("The database can't be written: %d calls are refused", len(steps))
            # It may have happened nevertheless.
            self._fail(steps, ended | {step.want.call_id for step in steps}, error)
            return
        with self._changed:
            self._written |= {call_id: draft for call_id, draft in drafts.items() if call_id in self._open}
        for step, outcome in zip(steps, outcomes, strict=True):
            if isinstance(outcome, LLMOSError):
                step.granted.set_exception(outcome)
            else:
                step.granted.set_result(outcome)

    def _apply(self, steps: Sequence[_Step], ended: set[str]) -> tuple[Sequence[Outcome], Mapping[str, bytes]]:
        drafts = self._changed_drafts()
        if not (steps or ended or drafts):
            return (), {}
        with self._database.counting(is_durable=True) as session:
            queries.release(session, ended)
            wants = [step.want for step in steps]
            outcomes = self._reservations.reserve(session, wants, self.server_id) if wants else ()
            queries.update_entries(session, {call_id: draft.decode() for call_id, draft in drafts.items()})
        return outcomes, drafts

    def _fail(self, steps: Sequence[_Step], ended: set[str], error: Exception) -> None:
        with self._changed:
            self._ended |= ended
            self._retry_at = self._monotonic() + PROGRESS_SECONDS
            self._progress_at = self._monotonic()
        for step in steps:
            refused = Unavailable(
                "The budgets of this call can't be read: the database doesn't answer. Try again.", retry_after_seconds=2
            )
            refused.__cause__ = error
            step.granted.set_exception(refused)

    def _changed_drafts(self) -> Mapping[str, bytes]:
        """Return what running calls have computed since the last time, once a second."""
        if self._monotonic() < self._progress_at + PROGRESS_SECONDS:
            return {}
        self._progress_at = self._monotonic()
        with self._changed:
            open_calls, written = list(self._open.items()), self._written.copy()
        drafts = {call_id: _encode(entry) for call_id, draft in open_calls if (entry := draft()) is not None}
        return {call_id: draft for call_id, draft in drafts.items() if written.get(call_id) != draft}

    def _renew_if_due(self) -> None:
        """Renew the lease, and settle what dead servers have left."""
        now = self._monotonic()
        if self._renewed_at is not None and now < self._renewed_at + RENEW_SECONDS:
            return
        if self._lock is None:
            self._lock = self._take_lock()
        # A server that had no database itself can't know whether others had one.
        knows_others = self._renewed_at is not None and now < self._renewed_at + LEASE_SECONDS / 2
        with self._database.counting(is_durable=True) as session:
            moment = queries.now(session)
            queries.renew_server(session, self.server_id, moment + LEASE_SECONDS)
            if now >= self._prune_at:
                queries.remove_old_counts(session, moment - KEEP_DAYS * 86_400)
                self._prune_at = now + PRUNE_SECONDS
            self._release_left(session)
            others = [row for row in queries.servers(session) if row.server_id != self.server_id]
            is_expired = {row.server_id: row.expires_at < moment for row in others}
        self._renewed_at = now
        dead = [id for id in is_expired if self._is_dead(id, is_expired=is_expired[id] and knows_others)]
        self._has_others = len(dead) < len(is_expired)
        if dead and self._ledger_writer.has_set_aside:
            self._has_others = True  # The true entries of their calls may be among those that wait for the database.
        elif dead:
            self._recover(dead)

    def _release_left(self, session: Session) -> None:
        """Release what calls hold whose entries the database has refused."""
        has_charged, self._has_charged = self._has_charged, False
        if not (has_charged or self._left) or self._ledger_writer.has_set_aside:
            self._has_charged |= has_charged
            return
        held = {call.call_id for call in queries.reserved_calls(session, [self.server_id])}
        with self._changed:
            held -= self._open.keys() | self._ended
        queries.release(session, held & self._left)
        self._left = held - self._left

    def _recover(self, server_ids: Sequence[str]) -> None:
        with self._database.session() as session:
            calls = queries.reserved_calls(session, server_ids)
        entries = [_decode(call.entry) for call in calls if call.entry]
        if entries:
            self._ledger.add(entries)
        with self._database.counting(is_durable=True) as session:
            queries.release(session, [call.call_id for call in calls])
            queries.remove_servers(session, server_ids)
        for id in server_ids:
            self._path(id).unlink(missing_ok=True)
        if calls:
            _log.warning("%d calls of servers that were killed are settled; %d had tokens", len(calls), len(entries))

    def _is_dead(self, server_id: str, *, is_expired: bool) -> bool:
        """Return whether a server has ended. One with this LLMOS_HOME holds a lock as long as it lives."""
        try:
            with self._path(server_id).open("rb") as file:
                return _lock(file)
        except OSError:
            return is_expired

    def _take_lock(self) -> BinaryIO | None:
        """Show other servers with this LLMOS_HOME that this one lives."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = os.open(self._path(self.server_id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            _log.exception("No lock shows that this server lives; its lease does")
            return None
        file = os.fdopen(number, "rb")
        _lock(file)
        return file

    def _leave(self) -> None:
        """Remove the traces of this server."""
        with suppress(Exception):
            if self._renewed_at is not None and not self._open and not self._ended:
                with self._database.counting(is_durable=True) as session:
                    queries.remove_servers(session, [self.server_id])
                self._path(self.server_id).unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()

    def _path(self, server_id: str) -> Path:
        return self._folder / f"{server_id}.lock"


def _lock(file: BinaryIO) -> bool:
    """Lock the file until it is closed. Return False if a server holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
