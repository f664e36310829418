"""LimitCounts: how much of its limits each key and project has used, in the database, for all servers on it.

Requests and tokens are token buckets: a bucket holds what one minute allows, and refills evenly. Its state is the
moment at which it will be full again (the generic cell rate algorithm, ITU-T I.371), in whole nanoseconds:

    |---- used ----|------- left -------|          used = (full_at - now), left = one minute - used
    now         full_at            now + 1 min

Running calls are counted for each server, with a lease: what a server that died held is free when its lease ends.

All changes happen one after another, whatever server they come from, so that of 200 calls at once against a limit of 10
exactly 10 pass. A server should hand over many steps at once: they cost one transaction.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from llmos.core.database import Database
from llmos.core.errors import RateLimited
from llmos.core.ids import new_id
from llmos.core.statements import PlainTransaction
from llmos.security import queries
from llmos.security.limits import Allowance

MINUTE = 60_000_000_000
"""Nanoseconds."""

LEASE = MINUTE
"""The nanoseconds without renew() after which the reservations of a server are released."""

_KEEP = 60 * MINUTE
"""The nanoseconds after which counts that have no effect any more are removed."""


@dataclass(frozen=True, slots=True)
class Take:
    """A call that wants to begin."""

    allowances: Sequence[Allowance]
    num_tokens: int
    """The tokens that it is expected to use."""
    has_begun: bool = False
    """It was let in already, by LimitRoom, and is counted whatever is left."""


@dataclass(frozen=True, slots=True)
class GiveBack:
    """A call that was let in and has ended."""

    taken: Take
    num_tokens: int
    """The tokens that it used."""


@dataclass(frozen=True, slots=True)
class ScopeCount:
    """The use by all servers of the limits of a key or a project. Times in nanoseconds since 1970."""

    scope: str
    at: int
    """When it was counted."""
    requests_full_at: int
    tokens_full_at: int
    """When the bucket will be full again."""
    num_running: int


class LimitCounter(Protocol):
    """The counter of the use of limits: LimitCounts here, or RedisLimitCounts."""

    @property
    def last_counts(self) -> Sequence[ScopeCount]:
        """The counts of the scopes of the last apply(), after it; none where they aren't known here."""

    def apply(self, steps: Sequence[Take | GiveBack]) -> list[RateLimited | None]:
        """Do the steps in their order, and return for each why it was refused. What is refused counts nowhere."""

    def renew(self) -> None:
        """Extend the lease of what this server holds."""


@dataclass(slots=True)
class _Counts:
    """The counts of some scopes, as they are changed in one transaction."""

    full_at: dict[tuple[str, str], int] = field(default_factory=dict)
    """By scope and kind of bucket."""
    running: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """This server's."""
    running_elsewhere: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    changed_buckets: set[tuple[str, str]] = field(default_factory=set)
    changed_running: set[str] = field(default_factory=set)

    def of_scope(self, scope: str, now: int) -> ScopeCount:
        requests_full_at, tokens_full_at = (self.full_at.get((scope, kind), now) for kind in ("requests", "tokens"))
        num_running = self.running[scope] + self.running_elsewhere[scope]
        return ScopeCount(scope, now, requests_full_at, tokens_full_at, num_running)


class LimitCounts:
    """Any thread may use it. Blocks on the database."""

    def __init__(
        self, database: Database, *, server_id: str | None = None, clock: Callable[[], int] = time.time_ns
    ) -> None:
        """`clock`: nanoseconds since 1970. Servers on several machines need clocks that agree."""
        self._database, self._clock = database, clock
        self.server_id = server_id or new_id("server")
        self._last_counts: Sequence[ScopeCount] = ()

    @property
    def last_counts(self) -> Sequence[ScopeCount]:
        """The counts of the scopes of the last apply(), after it."""
        return self._last_counts

    def apply(self, steps: Sequence[Take | GiveBack]) -> list[RateLimited | None]:
        """Do the steps in their order, and return for each why it was refused. What is refused counts nowhere."""
        takes = [step.taken if isinstance(step, GiveBack) else step for step in steps]
        scopes = sorted({allowance.scope for take in takes for allowance in take.allowances})
        with self._database.plain_counting() as transaction:
            now = self._clock()
            counts = self._read(transaction, scopes, now)
            refusals = [self._apply(counts, step, now) for step in steps]
            for scope, kind in sorted(counts.changed_buckets):
                queries.store_bucket(transaction, scope, kind, counts.full_at[scope, kind])
            for scope in sorted(counts.changed_running):
                queries.store_running(transaction, scope, self.server_id, counts.running[scope], now + LEASE)
        self._last_counts = [counts.of_scope(scope, now) for scope in scopes]
        return refusals

    def _read(self, transaction: PlainTransaction, scopes: Sequence[str], now: int) -> _Counts:
        counts = _Counts()
        for scope in scopes:
            for kind, full_at in queries.buckets(transaction, scope).items():
                counts.full_at[scope, kind] = full_at
            for server_id, num_running, expires_at in queries.running(transaction, scope):
                if server_id == self.server_id:
                    counts.running[scope] = num_running
                elif expires_at > now:
                    counts.running_elsewhere[scope] += num_running
        return counts

    def renew(self) -> None:
        """Extend the lease of what this server holds, and remove what nobody needs."""
        with self._database.counting() as session:
            now = self._clock()
            queries.renew_running(session, self.server_id, now + LEASE)
            queries.remove_old_counts(session, now - _KEEP)

    def _apply(self, counts: _Counts, step: Take | GiveBack, now: int) -> RateLimited | None:
        if isinstance(step, GiveBack):
            self._give_back(counts, step, now)
            return None
        refusals = [
            refusal
            for allowance in step.allowances
            if not step.has_begun
            for refusal in self._refusals(counts, allowance, step.num_tokens, now)
        ]
        if refusals:
            # The one that takes longest, so that the next try isn't refused for another reason.
            return max(refusals, key=lambda refusal: refusal.retry_after_seconds or 0)
        for allowance in step.allowances:
            limits, scope = allowance.limits, allowance.scope
            if limits.requests_per_minute is not None:
                self._use(counts, scope, "requests", cost(1, limits.requests_per_minute), now)
            if limits.tokens_per_minute is not None:
                self._use(counts, scope, "tokens", cost_of_call(step.num_tokens, limits.tokens_per_minute), now)
            if limits.concurrent_requests is not None:
                self._run(counts, scope, 1)
        return None

    def _refusals(self, counts: _Counts, allowance: Allowance, num_tokens: int, now: int) -> list[RateLimited]:
        limits, scope, refusals = allowance.limits, allowance.scope, []
        if (limit := limits.requests_per_minute) is not None:
            wait = self._wait(counts, scope, "requests", cost(1, limit), now)
            if wait > 0:
                refusals.append(rate_refusal(allowance, "requests", wait))
        if (limit := limits.tokens_per_minute) is not None:
            wait = self._wait(counts, scope, "tokens", cost_of_call(num_tokens, limit), now)
            if wait > 0:
                refusals.append(rate_refusal(allowance, "tokens", wait))
        limit = limits.concurrent_requests
        if limit is not None and counts.running[scope] + counts.running_elsewhere[scope] >= limit:
            refusals.append(running_refusal(allowance))
        return refusals

    def _give_back(self, counts: _Counts, step: GiveBack, now: int) -> None:
        for allowance in step.taken.allowances:
            limits, scope = allowance.limits, allowance.scope
            if (limit := limits.tokens_per_minute) is not None:
                # The tokens that a call used beyond its reservation count as debt, which delays later calls.
                owed = cost(step.num_tokens, limit) - cost_of_call(step.taken.num_tokens, limit)
                self._use(counts, scope, "tokens", owed, now)
            if limits.concurrent_requests is not None:
                self._run(counts, scope, -1)

    def _wait(self, counts: _Counts, scope: str, kind: str, cost: int, now: int) -> int:
        """Return the nanoseconds until the bucket has enough left; 0 or less: it has."""
        return max(counts.full_at.get((scope, kind), now), now) + cost - now - MINUTE

    def _use(self, counts: _Counts, scope: str, kind: str, cost: int, now: int) -> None:
        counts.full_at[scope, kind] = max(counts.full_at.get((scope, kind), now), now) + cost
        counts.changed_buckets.add((scope, kind))

    def _run(self, counts: _Counts, scope: str, change: int) -> None:
        counts.running[scope] = max(0, counts.running[scope] + change)
        counts.changed_running.add(scope)


def cost(number: int, limit: int) -> int:
    """Return the time in which a bucket with this limit gets so many back."""
    return number * MINUTE // limit


def cost_of_call(num_tokens: int, limit: int) -> int:
    """Return what a call takes before it begins: at least a token; at most what a bucket holds, or it never could."""
    return cost(min(max(1, num_tokens), limit), limit)


def rate_refusal(allowance: Allowance, kind: str, wait: int) -> RateLimited:
    """Return why a call must wait. `kind`: requests or tokens. `wait`: nanoseconds."""
    is_requests, limits = kind == "requests", allowance.limits
    limit = (limits.requests_per_minute if is_requests else limits.tokens_per_minute) or 0
    what = f"may {'make' if is_requests else 'use'} {limit:,} {kind.removesuffix('s')}{'s' * (limit != 1)} a minute"
    seconds = -(-wait // 1_000_000_000)
    return RateLimited(
        f"{allowance.name} {what}. Try again in {seconds} second{'s' * (seconds != 1)}.", retry_after_seconds=seconds
    )


def running_refusal(allowance: Allowance) -> RateLimited:
    """Return why a call must wait for another one to end."""
    limit = allowance.limits.concurrent_requests or 0
    return RateLimited(
        f"{allowance.name} may have {limit:,} request{'s' * (limit != 1)} running at the same time. Try again when one"
        " has ended.",
        retry_after_seconds=1,
    )
