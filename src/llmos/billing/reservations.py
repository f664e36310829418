"""Reservations: what running calls hold of the limits that apply to them, and what has been used.

    left = amount - spent - reserved        spent: the entries of the period, added in their own transaction
                                            reserved: the worst cases of the calls that run now

Everything happens in transactions that run one after another, whatever server they come from, so that calls at the same
time, on several servers, never use more than a hard limit has.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from llmos.billing import limit_queries, queries
from llmos.billing.limit_book import LimitBook
from llmos.billing.limit_queries import CountKey, Used
from llmos.billing.limits import (
    Limit,
    Payer,
    ThresholdCrossed,
    ThresholdListener,
    period_end,
    period_start,
    subject_of,
)
from llmos.billing.price_books import PriceCache
from llmos.billing.worst_cases import PricedCase, WorstCase, priced
from llmos.core.errors import BudgetExceeded, LLMOSError, QuotaExceeded

_log = logging.getLogger(__name__)

_TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens", "embedding_tokens", "rated_tokens")


@dataclass(frozen=True, kw_only=True, slots=True)
class Want:
    """A call that wants to begin."""

    call_id: str
    payer: Payer
    at: int
    """When it was accepted, in seconds since 1970: the period and the prices are those of this moment."""
    case: WorstCase
    may_shorten: bool = True
    """A shorter answer will do, if the limits don't pay for the longest one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """The tokens that a call may use, and the amounts that are reserved for them."""

    case: PricedCase
    output_tokens: int
    """The most tokens of each choice."""
    held: tuple[tuple[Limit, int], ...] = ()
    """The reserved amount of each limit."""
    shortened_by: Limit | None = None
    """The limit that doesn't pay for a longer answer; None if the longest answer is paid for."""


_MAX_HELD = 2**53
"""No call consumes as much, in billionths of a currency or in tokens. Sums of it fit into the database's integers,
whatever prices and limits are set."""

Outcome = Grant | LLMOSError | None
"""An error: refused. None: the limits don't pay for the whole worst case, and the call may not be shortened."""


@dataclass(slots=True)
class _Count:
    key: CountKey
    limit: Limit
    used: Used
    reserved: int

    @property
    def unspent(self) -> int:
        return self.limit.amount - self.used.spent

    @property
    def left(self) -> int:
        return self.unspent - self.reserved


class Reservations:
    """Any thread may use it. Its methods run in a transaction of Database.counting(is_durable=True)."""

    def __init__(self, book: LimitBook, *, listeners: Sequence[ThresholdListener] = ()) -> None:
        """`listeners`: called in the transaction in which a threshold is crossed."""
        self.book, self._listeners = book, [_log_threshold, *listeners]
        self._prices = PriceCache()

    def reserve(self, session: Session, wants: Sequence[Want], server_id: str) -> list[Outcome]:
        """Reserve the worst case of each call, in their order. What is refused holds nothing."""
        index, prices = self.book.in_session(session), self._prices.read(session)
        # A line of a batch has the same id again, which a killed server may have left.
        limit_queries.release(session, {want.call_id for want in wants})
        limits = [index.hard_of(want.payer, want.at) for want in wants]
        has_users = [any(each.scope.kind == "each_user" for each in found) for found in limits]
        numbers = _user_numbers(session, [want.payer for want, has in zip(wants, has_users, strict=True) if has])
        keys = [
            [_key(limit, want.payer, numbers, want.at) for limit in found]
            for want, found in zip(wants, limits, strict=True)
        ]
        counts = self._counts(session, dict(_flat(keys, limits)))
        outcomes: list[Outcome] = []
        held: dict[str, list[tuple[CountKey, int]]] = {}
        for want, found in zip(wants, keys, strict=True):
            case = priced(want.case, prices.book(want.payer.project, want.at))
            outcome = self._reserve(session, want, case, [counts[key] for key in found])
            outcomes.append(outcome)
            if isinstance(outcome, Grant) and outcome.held:
                held[want.call_id] = [(key, amount) for key, (_, amount) in zip(found, outcome.held, strict=True)]
        limit_queries.reserve(session, server_id, held)
        return outcomes

    def _reserve(self, session: Session, want: Want, case: PricedCase, counts: Sequence[_Count]) -> Outcome:
        output, shortened_by = want.case.output_tokens, None
        for count in counts:
            limit = count.limit
            if count.left >= case.need(limit, output):
                continue
            if not want.may_shorten:
                return None
            affordable = case.affordable_output(limit, count.left)
            if affordable < min(1, want.case.output_tokens) or want.case.operation != "generate":
                return self._refuse(session, want, case, count)
            if affordable < output or shortened_by is None:
                output, shortened_by = min(output, affordable), limit
        held = []
        for count in counts:
            amount = min(case.need(count.limit, output), max(0, count.left), _MAX_HELD)
            count.reserved += amount
            held.append((count.limit, amount))
        return Grant(case=case, output_tokens=output, held=tuple(held), shortened_by=shortened_by)

    def _refuse(self, session: Session, want: Want, case: PricedCase, count: _Count) -> LLMOSError:
        limit = count.limit
        is_used_up = case.affordable_output(limit, count.unspent) < min(1, want.case.output_tokens)
        if is_used_up:
            self._notify(session, count, want.payer, is_used_up=True)
        return refusal(limit, count.used, max(0, count.left), want.at, is_used_up=is_used_up)

    def release(self, session: Session, call_ids: Collection[str]) -> None:
        """Release what calls held that are in the ledger."""
        if self.book.in_session(session).limits:
            limit_queries.release(session, call_ids)

    def count(self, session: Session, entries: Sequence[tuple[Mapping[str, Any], str]]) -> None:
        """Count rows of the ledger, which are new, before they are in the sums of usage.

        `entries`: with the name of each user.
        """
        index = self.book.in_session(session)
        if not index.limits:
            return
        used: dict[CountKey, int] = {}
        limits: dict[CountKey, Limit] = {}
        payers: dict[CountKey, Payer] = {}
        for row, user in entries:
            payer = Payer(row["project"], row["key_id"], user)
            # A reversal gives back what the entry took, and nothing of a limit that didn't apply by then.
            for limit in index.of(payer, row.get("reversed_at", row["at"])):
                start = period_start(limit.period, row["at"])
                key = CountKey(limit.id, subject_of(limit, payer.project, row["user_number"]), start)
                used[key] = used.get(key, 0) + _used(limit, row)
                limits[key], payers[key] = limit, payer
        counts = self._counts(session, limits)
        for key, count in counts.items():
            count.used.spent += used[key]
        limit_queries.store_counts(session, {key: count.used for key, count in counts.items()})
        for key, count in counts.items():
            self._notify(session, count, payers[key])

    def _counts(self, session: Session, limits: Mapping[CountKey, Limit]) -> dict[CountKey, _Count]:
        """Return the counts of limits, those that there aren't yet out of the ledger."""
        found, reserved = limit_queries.counts(session, limits), limit_queries.reserved(session, limits)
        new: dict[CountKey, Used] = {}
        for key in sorted(limits.keys() - found.keys()):
            spent = limit_queries.used_before(session, limits[key], key.subject, key.period_start)
            new[key] = Used(key.subject, key.period_start, spent)
        if new:
            limit_queries.store_counts(session, new)
        used = found | new
        return {key: _Count(key, limit, used[key], reserved.get(key, 0)) for key, limit in limits.items()}

    def _notify(self, session: Session, count: _Count, payer: Payer, *, is_used_up: bool = False) -> None:
        """Notify the listeners of the shares that are used by now. `is_used_up`: the rest pays for no call."""
        used, limit = count.used, count.limit
        alerted_percent = used.alerted_percent
        for percent in sorted(limit.alert_percents):
            is_crossed = used.spent * 100 >= percent * limit.amount or is_used_up
            if percent <= used.alerted_percent or not is_crossed:
                continue
            used.alerted_percent = percent
            event = ThresholdCrossed(
                limit=limit,
                subject=used.subject,
                payer=payer,
                percent=percent,
                spent=used.spent,
                period_start=used.period_start,
            )
            for listener in self._listeners:
                listener(session, event)
        if used.alerted_percent != alerted_percent:
            limit_queries.store_counts(session, {count.key: used})


def refusal(limit: Limit, used: Used, left: int, at: int, *, is_used_up: bool) -> LLMOSError:
    """Return why a call may not begin."""
    end = period_end(limit.period, used.period_start)
    what = f"The {limit.kind} {limit.name} for {limit.scope.title()} is {limit.format(limit.amount)} {limit.per}"
    if is_used_up:
        resets = "it doesn't reset" if end is None else f"it resets on {_time(end)}"
        message = f"{what}; {limit.format(left)} are left, too little for this call, and {resets}. "
        message += "Send a smaller request, or ask the owner of this server for more."
    else:
        message = f"{what}; {limit.format(left)} are left while other calls run, too little for this call. "
        message += "Try again when they have ended."
        end = at + 1
    kind = BudgetExceeded if limit.unit == "money" else QuotaExceeded
    return kind(message, retry_after_seconds=None if end is None else max(1, end - at))


def _user_numbers(session: Session, payers: Iterable[Payer]) -> dict[queries.User, int]:
    return queries.ensure_users(session, {(each.project, each.user) for each in payers if each.user})


def _key(limit: Limit, payer: Payer, numbers: Mapping[queries.User, int], at: int) -> CountKey:
    subject = subject_of(limit, payer.project, numbers.get((payer.project, payer.user)))
    return CountKey(limit.id, subject, period_start(limit.period, at))


def _flat(keys: Iterable[Iterable[CountKey]], limits: Iterable[Iterable[Limit]]) -> Iterable[tuple[CountKey, Limit]]:
    for some_keys, some_limits in zip(keys, limits, strict=True):
        yield from zip(some_keys, some_limits, strict=True)


def _used(limit: Limit, row: Mapping[str, Any]) -> int:
    if limit.unit == "requests":
        return int(row["num_calls"])
    if limit.unit == "tokens":
        return sum(int(row[name]) for name in _TOKENS)
    return int(row["cost_nanos"] or 0) if row["currency"] == limit.currency else 0


def _log_threshold(session: Session, event: ThresholdCrossed) -> None:
    limit = event.limit
    _log.warning(
        "The %s %s for %s: %d %% of %s %s are used",
        limit.kind, limit.name, limit.scope.title(), event.percent, limit.format(limit.amount), limit.per,
    )  # fmt: skip


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
