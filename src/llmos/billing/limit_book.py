"""LimitBook: the limits of all sources in memory, so that calls that no limit applies to ask no database.

A change by this process counts from the next call on; one by another process after REREAD_SECONDS, and under load with
the first call that finds the limits read again.
"""

import threading
import time
from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from llmos.billing import limit_queries as queries
from llmos.billing.limits import Limit, LimitSource, Payer
from llmos.core.database import Database

REREAD_SECONDS = 1.0

RECENT_SECONDS = 5.0
"""Calls don't wait for limits that were read this short a time ago to be read again."""

_MAX_KNOWN = 10_000

_RANKS = {"user": 2, "each_user": 1}


class LimitIndex:
    """The limits at one moment, found by who pays. Any thread may use it."""

    def __init__(self, revision: int, limits: Sequence[Limit]) -> None:
        self.revision, self.limits = revision, limits
        self._known: dict[Payer, tuple[Limit, ...]] = {}
        self._hard: dict[Payer, tuple[Limit, ...]] = {}

    def of(self, payer: Payer, at: int) -> tuple[Limit, ...]:
        """Return the limits that apply to a call at a time, in seconds since 1970."""
        return tuple(each for each in self._of(payer) if each.first <= at < each.end)

    def hard_of(self, payer: Payer, at: int) -> tuple[Limit, ...]:
        """Return those that can stop it."""
        return tuple(each for each in self._hard_of(payer) if each.first <= at < each.end)

    def _of(self, payer: Payer) -> tuple[Limit, ...]:
        if not self.limits:
            return ()
        if (known := self._known.get(payer)) is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            known = self._known[payer] = _without_defaults([each for each in self.limits if each.scope.covers(payer)])
        return known

    def _hard_of(self, payer: Payer) -> tuple[Limit, ...]:
        if not self.limits:
            return ()
        if (known := self._hard.get(payer)) is None:
            if len(self._hard) >= _MAX_KNOWN:
                self._hard.clear()
            known = self._hard[payer] = tuple(each for each in self._of(payer) if each.is_hard)
        return known


class LimitBook:
    """Any thread may use it."""

    def __init__(
        self, database: Database, sources: Sequence[LimitSource], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database, self._sources, self._monotonic = database, sources, monotonic
        self._lock = threading.Lock()
        self._index: LimitIndex | None = None
        self._state: int | None = None
        self._fresh_until = 0.0
        self._num_changes = 0

    def forget(self) -> None:
        """Read the limits again before the next call: this process has changed them."""
        with self._lock:
            self._num_changes += 1
            self._fresh_until, self._state = 0.0, None

    def current(self) -> LimitIndex | None:
        """Return the limits; None if they must be read: with read(). Takes microseconds."""
        now = self._monotonic()
        if now < self._fresh_until:
            return self._index
        if self._state is None or self._state != self._database.state():
            return None
        self._fresh_until = now + REREAD_SECONDS
        return self._index

    def recent(self) -> LimitIndex | None:
        """Return limits that another process may have changed in the last seconds; None if they are older."""
        is_recent = self._monotonic() < self._fresh_until + RECENT_SECONDS - REREAD_SECONDS
        return self._index if is_recent and self._state is not None else None

    def read(self) -> LimitIndex:
        """Return the limits that the database has now."""
        self._database.watch()
        num_changes, state, now = self._num_changes, self._database.state(), self._monotonic()
        with self._database.session() as session:
            index = self.in_session(session)
        with self._lock:
            if num_changes == self._num_changes:
                self._state, self._fresh_until = state, now + REREAD_SECONDS
        return index

    def in_session(self, session: Session) -> LimitIndex:
        """Return the limits as a transaction sees them. They are read only if they have changed."""
        revision = queries.limits_revision(session)
        index = self._index
        if index is None or index.revision != revision:
            index = LimitIndex(revision, [limit for source in self._sources for limit in source.read(session)])
            with self._lock:
                if self._index is None or self._index.revision < revision:
                    self._index = index
        return index


def _without_defaults(limits: Sequence[Limit]) -> tuple[Limit, ...]:
    """Leave out what is meant for every user where there is something for this one: its own, or its project's.

    Owners of a project can't put anything in the place of what the installation allows each user.
    """
    best: dict[object, int] = {}
    for each in limits:
        best[_user_limit(each)] = max(best.get(_user_limit(each), 0), _rank(each))
    return tuple(each for each in limits if _rank(each) == 0 or _rank(each) == best[_user_limit(each)])


def _user_limit(limit: Limit) -> object:
    return limit.kind, limit.managed_by, limit.unit, limit.currency, limit.period, _rank(limit) > 0


def _rank(limit: Limit) -> int:
    """Return how specific a limit for users is; 0 for others."""
    rank = _RANKS.get(limit.scope.kind, 0)
    return rank and 2 * rank + bool(limit.scope.project)
