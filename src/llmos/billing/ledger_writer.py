"""LedgerWriter: stores entries in groups. Whoever adds one can wait until it is on the disk.

add() ──▶ waiting ──▶ one transaction for all that gathered during the one before
             │ the database fails, or is slow (secure())
             ▼
           spill   a file on the disk; read back when the database works
             │ the disk fails, too
             ▼
            kept   in memory, and new calls are refused

An entry that the database refuses while it takes others is put into a file of refused entries, and the rest is stored.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from llmos.billing.entries import Charges, Entry
from llmos.billing.ledger import Ledger
from llmos.billing.refused import RefusedEntries
from llmos.billing.spill import Spill
from llmos.core.errors import StoreFailed, Unavailable

_log = logging.getLogger(__name__)

MAX_KEPT = 1
"""Entries that only memory has, which a crash would lose. From then on, calls are refused."""

GATHER_SECONDS = 0.001
"""After a transaction with several entries, the next one waits this long for more: most of what a transaction costs
doesn't depend on how many it has."""

RETRY_SECONDS = 2.0
"""A database that failed is tried again after this time."""


_OUTAGES = (StoreFailed, Unavailable, OperationalError, InterfaceError, InternalError)
"""Errors of the database or its disk, whatever is written."""


@dataclass(slots=True)
class _Group:
    entries: list[Entry] = field(default_factory=list)
    on_stored: "Future[Charges]" = field(default_factory=Future)

    def __post_init__(self) -> None:
        self.on_stored.set_running_or_notify_cancel()  # One who stops waiting must not cancel it for the others.


class LedgerWriter:
    """Any thread may use it."""

    def __init__(
        self,
        ledger: Ledger,
        folder: Path,
        *,
        max_kept: int = MAX_KEPT,
        retry_seconds: float = RETRY_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`folder`: where entries are put that the database can't take."""
        self._ledger, self._spill, self._refused = ledger, Spill(folder), RefusedEntries(folder)
        self._max_kept, self._retry_seconds, self._monotonic = max_kept, retry_seconds, monotonic
        self._changed, self._closing = threading.Condition(), threading.Event()
        self._waiting = _Group()
        self._kept: list[Entry] = []
        self._retry_at: float | None = None
        """When what was spilled or kept is tried again; None where there is nothing."""
        self._is_writing = self._is_closed = False
        self._tries_refused = True
        self._thread: threading.Thread | None = None

    @property
    def is_full(self) -> bool:
        """True if neither the database nor the disk takes entries, and memory has no room left."""
        return len(self._kept) >= self._max_kept

    @property
    def has_set_aside(self) -> bool:
        """True if entries wait for the database outside of it, those of a writer before this one, too."""
        return bool(self._kept) or not self._spill.is_empty()

    def start(self) -> None:
        """Store what a writer before this one left on the disk, and try what the database has refused again."""
        is_left = not (self._spill.is_empty() and self._refused.is_empty())
        self._spill.reserve()
        if is_left:
            with self._changed:
                self._retry_at = self._monotonic()
                self._ensure_thread()

    def add(self, entries: Sequence[Entry]) -> "Future[Charges]":
        """Have entries stored soon. The result is done when they are on the disk; in memory, if nothing else works.

        It has the charges of all entries of the same transaction.
        """
        with self._changed:
            group = self._waiting
            group.entries += entries
            self._ensure_thread()
            self._changed.notify_all()
            return group.on_stored

    def secure(self, entries: Sequence[Entry]) -> None:
        """Write entries that wait for a slow database to the disk, too. Stored again later, they add nothing."""
        try:
            self._spill.append(entries)
        except OSError as error:
            _log.error("%d entries of the ledger wait in memory alone: %s", len(entries), error)
        with self._changed:
            self._retry_at = self._retry_at or self._monotonic()
            self._changed.notify_all()

    def flush(self) -> None:
        """Return when the entries so far are stored, or set aside."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or not (self._waiting.entries or self._is_writing))

    def close(self) -> None:
        """Store what waits, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._closing.set()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._spill.close()

    def _ensure_thread(self) -> None:
        if self._thread is None and not self._is_closed:
            self._thread = threading.Thread(target=self._write_all, name="ledger", daemon=True)
            self._thread.start()

    def _write_all(self) -> None:
        is_busy = False
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work, self._seconds_to_retry())
            if is_busy:
                self._closing.wait(GATHER_SECONDS)  # Without the lock: those who come wake nobody.
            with self._ledger.turn():
                with self._changed:
                    group, self._waiting = self._waiting, _Group()
                    self._is_writing, is_last = True, self._is_closed
                    is_busy = len(group.entries) > 1
                    if is_last:
                        self._retry_at = self._retry_at and 0.0
                charges: Charges = {}
                try:
                    charges = self._write(group.entries)
                except Exception:
                    _log.exception("%d entries of the ledger are lost: they can be written nowhere", len(group.entries))
            group.on_stored.set_result(charges)
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
            if is_last:
                self._end()
                return

    def _has_work(self) -> bool:
        return bool(self._waiting.entries) or self._is_closed or self._seconds_to_retry() == 0.0

    def _seconds_to_retry(self) -> float | None:
        return None if self._retry_at is None else max(0.0, self._retry_at - self._monotonic())

    def _write(self, entries: Sequence[Entry]) -> Charges:
        if self._retry_at is not None and self._monotonic() < self._retry_at:
            self._set_aside(entries)
            return {}
        try:
            if self._retry_at is not None:
                self._store_left()
            return self._store(entries)
        except Exception:
            _log.exception("%d entries of the ledger are set aside: the database can't be written", len(entries))
            self._set_aside(entries)
        return {}

    def _store(self, entries: Sequence[Entry]) -> Charges:
        """Store entries, and put those that the database refuses into a file. Raises while it takes none at all."""
        if not entries:
            return {}
        try:
            return self._ledger.add(entries).charges
        except _OUTAGES:
            raise
        except Exception as error:
            self._ledger.check_writable()
            if len(entries) > 1:
                half = len(entries) // 2
                return {**self._store(entries[:half]), **self._store(entries[half:])}
            return self._store_or_refuse(entries[0], error)

    def _store_or_refuse(self, entry: Entry, error: Exception) -> Charges:
        """Try an entry again: the database may have failed for a moment."""
        try:
            return self._ledger.add([entry]).charges
        except _OUTAGES:
            raise
        except Exception:
            path = self._refused.add(entry, str(error))
            _log.error("The database refuses an entry of the ledger. It is in %s until the next start: %s", path, error)
        return {}

    def _store_left(self) -> None:
        """Store what was set aside, first what is in memory."""
        num_left = len(self._kept)
        self._store(self._kept)
        self._kept = []
        self._retry_at = None  # Before the files are read: who adds to them meanwhile sets it again.
        num_left += self._spill.read_back(self._store)
        self._spill.reserve()
        if self._tries_refused:
            self._tries_refused = False
            num_refused = self._refused.try_again(lambda entry: self._ledger.add([entry]))
            if num_refused:
                _log.error(
                    "The database refuses %d entries of the ledger, still. See %s", num_refused, self._refused.folder
                )
        if num_left:
            _log.warning("%d entries of the ledger that were set aside are stored", num_left)

    def _set_aside(self, entries: Sequence[Entry]) -> None:
        if self._retry_at is None or self._monotonic() >= self._retry_at:
            self._retry_at = self._monotonic() + self._retry_seconds
        if not entries:
            return
        try:
            self._spill.append([*self._kept, *entries])
            self._kept = []
        except Exception as error:
            _log.error("%d entries of the ledger stay in memory: %s", len(entries), error)
            self._kept += entries

    def _end(self) -> None:
        if self._kept:
            try:
                self._spill.append(self._kept)
            except OSError:
                _log.exception("%d entries of the ledger are lost: the database and the disk failed", len(self._kept))
