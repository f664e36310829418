"""AnswerSink: keeps the facts of each call, and makes the receipt of each answer.

A call only hands over what is known of it. A thread computes the hashes, signs, and stores the receipts and the facts
of a moment together, in one transaction, so that no answer waits for it.
"""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent import futures
from dataclasses import dataclass
from datetime import datetime

from llmos.billing.entries import Charge
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.data.answers import Answers
from llmos.gateway.calls.facts import facts_of, has_facts
from llmos.gateway.calls.receipts import has_receipt, receipt_of
from llmos.gateway.calls.record import Record, Sink
from llmos.security.receipts.receipts import PRUNE_SECONDS, Receipts

_log = logging.getLogger(__name__)

GROUP_SECONDS = 0.25
"""Receipts and facts are stored after this time at the latest."""

CHARGE_SECONDS = 2.0
"""Most entries are in the ledger before their receipts are made. The thread waits this long for those that aren't;
their receipts are tried again later."""

MAX_WAITING = 10_000
"""While the database can't be written, so many calls wait for it. The receipts of others are made from the ledger
later; see receipt_recovery.py."""

RETRY_SECONDS = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class _Ended:
    """A call that has ended."""

    record: Record
    ended_at: datetime
    ended: float
    """The same on the clock of time.perf_counter."""

    def is_entered(self, wait_seconds: float) -> bool:
        """Return whether its entries are in the ledger, or on the way there where a crash doesn't lose them."""
        metered = self.record.metered
        if metered is None or metered.stored is None or metered.stored.done():
            return True
        return bool(futures.wait([metered.stored], wait_seconds).done)

    def charge(self) -> Charge | None:
        return None if self.record.metered is None else self.record.metered.charge()


class AnswerSink(Sink):
    """on_closed belongs to the event loop's thread; any thread may use the rest."""

    def __init__(self, database: Database, receipts: Receipts, answers: Answers, *, clock: Clock = utc_now) -> None:
        self._database, self._receipts, self._answers, self._clock = database, receipts, answers, clock
        self._waiting: list[_Ended] = []
        self._changed = threading.Condition()
        self._is_writing = self._is_hurried = self._is_closed = self._is_failing = False
        self._num_lost = 0
        self._pruned_at = 0.0
        self._thread: threading.Thread | None = None

    def on_closed(self, record: Record) -> None:
        if not (has_receipt(record) or has_facts(record)):
            return
        ended = _Ended(record, self._clock(), time.perf_counter())
        with self._changed:
            if len(self._waiting) >= MAX_WAITING:
                self._num_lost += 1
                return
            self._waiting.append(ended)
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._write_all, name="answers", daemon=True)
                self._thread.start()
            if len(self._waiting) == 1:
                self._changed.notify_all()

    def flush(self) -> None:
        """Return when the receipts and facts so far are stored, or can't be."""
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_closed or self._is_failing or not self._is_busy())

    def _is_busy(self) -> bool:
        return self._is_writing or bool(self._waiting)

    def close(self) -> None:
        """Store what waits, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._is_closed, PRUNE_SECONDS)
                # Wait for others to come. Most calls end alone; a flush asks for them now.
                seconds = RETRY_SECONDS if self._is_failing else GROUP_SECONDS
                self._changed.wait_for(lambda: self._is_closed or self._is_hurried, seconds)
                ended, self._waiting = self._waiting, []
                self._is_writing, self._is_hurried = True, False
                is_last, num_lost, self._num_lost = self._is_closed, self._num_lost, 0
            if num_lost:
                _log.error("%d receipts are made later: the database could not be written for too long", num_lost)
            entered = ended if is_last else self._entered(ended)
            left = [each for each in ended if each not in entered] if len(entered) < len(ended) else []
            if not self._write(entered):
                left = ended
            with self._changed:
                self._is_writing, self._is_failing = False, bool(left)
                self._waiting = [*left, *self._waiting]
                self._changed.notify_all()
            if is_last:
                return

    def _entered(self, ended: Sequence[_Ended]) -> list[_Ended]:
        """Return the calls whose entries are safe. Whoever found a receipt of what was counted would miss its entry."""
        until = time.monotonic() + CHARGE_SECONDS
        return [each for each in ended if each.is_entered(max(0.0, until - time.monotonic()))]

    def _write(self, ended: Sequence[_Ended]) -> bool:
        """Store the receipts and facts. Return False if they must be tried again."""
        try:
            if ended:
                self._store(ended)
        except Exception:
            _log.exception("The receipts of %d calls can't be stored now", len(ended))
            return False
        try:
            self._remove_old_if_due()
        except Exception:
            _log.exception("Old receipts can't be removed")
        return True

    def _store(self, ended: Sequence[_Ended]) -> None:
        charges = [each.charge() for each in ended]
        documents = [
            receipt_of(each.record, each.ended_at, charge)
            for each, charge in zip(ended, charges, strict=True)
            if self._receipts.keeps and has_receipt(each.record)
        ]
        facts = [
            facts_of(each.record, each.ended, charge)
            for each, charge in zip(ended, charges, strict=True)
            if has_facts(each.record)
        ]
        signed = self._receipts.sign(documents)
        with self._database.plain_counting() as transaction:
            self._receipts.add_signed(transaction, signed)
            self._answers.add(transaction, facts)

    def _remove_old_if_due(self) -> None:
        """Remove what is kept no longer, once in PRUNE_SECONDS at most."""
        now = self._clock().timestamp()
        if now - self._pruned_at >= PRUNE_SECONDS:
            self._pruned_at = now
            self._receipts.remove_old()
            self._answers.remove_old()
