"""AuditRecorder: how servers and commands record what callers do.

A change is recorded by its own transaction (see log.py). Everything else (refusals, failures, sign-ins, blocked
prompts) changes nothing that it could share a transaction with: a thread writes it, so that no answer waits.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from llmos.core.actions import Action, acting
from llmos.core.errors import LLMOSError, PermissionDenied
from llmos.security.audit.entries import Event, event_of
from llmos.security.audit.log import AuditLog
from llmos.security.audit.tally import Tally

_log = logging.getLogger(__name__)

SIGN_IN_SECONDS = 24 * 3600.0
"""A key's use from one address is recorded once in this time by each server."""

_MAX_REMEMBERED = 4096


class AuditRecorder:
    """Any thread may use it."""

    def __init__(self, log: AuditLog, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._audit, self._monotonic = log, monotonic
        self._tallies: dict[tuple[str, str], Tally] = {}
        """By action and outcome, so that many of one kind hide none of another."""
        self._changed = threading.Condition()
        self._waiting: list[Event] = []
        self._is_writing = False
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._signed_in: dict[tuple[str, str], float] = {}

    @contextmanager
    def acting(self, action: Action) -> Iterator[Action]:
        """Record what the body does: by its first transaction; if it has none, or fails, by an entry of its own."""
        try:
            with acting(action):
                yield action
        except LLMOSError as error:
            self.add(event_of(action, "refused" if isinstance(error, PermissionDenied) else "failed", error.code))
            raise
        except Exception:
            self.add(event_of(action, "failed", LLMOSError.code))
            raise
        if not action.is_recorded:
            self._submit([event_of(action, "succeeded")])

    def sign_in(self, project: str, key: str, address: str) -> None:
        """Record that a key was used from an address, unless that was recorded lately. Takes a microsecond."""
        now, pair = self._monotonic(), (key, address)
        if now - self._signed_in.get(pair, -SIGN_IN_SECONDS) < SIGN_IN_SECONDS:
            return
        if len(self._signed_in) >= _MAX_REMEMBERED:
            self._signed_in.clear()
        self._signed_in[pair] = now
        self.add(Event(action="sign_in", outcome="succeeded", project=project, key=key, address=address))

    def add(self, event: Event) -> None:
        """Have an event written soon, or counted; see tally.py. Doesn't wait."""
        with self._changed:
            kind = event.action, event.outcome
            tally = self._tallies.get(kind) or self._tallies.setdefault(kind, Tally(self._monotonic))
            self._submit(tally.add(event))

    def flush(self) -> None:
        """Return when all events so far are written, apart from those that are only counted."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._is_writing)

    def close(self) -> None:
        """Write everything, counts too, and end the thread."""
        with self._changed:
            self._waiting += [event for tally in self._tallies.values() for event in tally.end()]
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        else:
            self._write(self._waiting)

    def _submit(self, events: Sequence[Event]) -> None:
        with self._changed:
            self._waiting += events
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._write_all, name="audit", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._is_closed):
                    ends = [ends_at for tally in self._tallies.values() if (ends_at := tally.ends_at) is not None]
                    self._changed.wait(max(0.0, min(ends) - self._monotonic()) if ends else None)
                    self._waiting += [event for tally in self._tallies.values() for event in tally.due()]
                events, self._waiting = self._waiting, []
                self._is_writing = bool(events)
                is_last = self._is_closed
            self._write(events)
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
            if is_last:
                return

    def _write(self, events: list[Event]) -> None:
        if not events:
            return
        try:
            self._audit.record(events)
        except Exception:
            # A full disk must not keep callers out; changes fail there anyway.
            _log.exception("%d entries of the audit log can't be written", len(events))
