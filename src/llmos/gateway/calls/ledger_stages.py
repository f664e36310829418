"""LedgerStages: enters what each call consumed into the ledger. docs/billing.md says what that is.

The last piece of an answer waits until its entry is on the disk, so that an answer that has arrived is in the ledger,
whatever happens to the server. Callers who hang up and calls that fail wait for nothing.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic

import msgspec

from llmos.billing.entries import Entry, Outcome
from llmos.billing.ledger_writer import LedgerWriter
from llmos.billing.reservation_writer import ReservationWriter
from llmos.core.errors import Unavailable
from llmos.core.handover import Handover
from llmos.engine.messages import Delta
from llmos.gateway.calls.purchases import purchase_of
from llmos.gateway.calls.record import Attempt, Metered, Record, Sink
from llmos.gateway.calls.stages import C

_log = logging.getLogger(__name__)

WAIT_SECONDS = 2.0
"""An answer waits this long for the database. If that is slower, its entry is written to a file beside it first."""

_MAX_TEXT = 512


class LedgerStages:
    """A check, a hold and a filter. Belongs to the event loop's thread."""

    def __init__(
        self,
        writer: LedgerWriter,
        reservations: ReservationWriter | None = None,
        *,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """`reservations`: releases what ended calls hold of limits."""
        self._writer, self._reservations, self._wait_seconds = writer, reservations, wait_seconds
        self._handover = Handover()

    async def check(self, call: C, record: Record) -> C:
        """Raises Unavailable while entries can be stored nowhere."""
        if self._writer.is_full:
            raise Unavailable(
                "The usage of calls can't be recorded, neither in the database nor on disk. Free some disk space.",
                retry_after_seconds=10,
            )
        return call

    def hold(self, call: C, record: Record) -> AbstractAsyncContextManager[C]:
        """Enter the call when it has ended, unless the filter has done so."""
        return _Metering(self, call, record)

    async def filter(self, deltas: AsyncIterator[Delta], record: Record) -> AsyncGenerator[Delta, None]:
        """Yield the deltas; the last one when the call's entry is on the disk."""
        held: Delta | None = None
        async for delta in deltas:
            if held is not None:
                yield held
                held = None
            if delta.finish_reason is None:
                yield delta
            else:
                held = delta  # It may be the last one.
        if held is not None:
            await self.settle(record)
            yield held

    async def settle(self, record: Record) -> None:
        """Enter the call, and return when that is on the disk."""
        metered = self.enter(record)
        if metered is None or metered.stored is None:
            return
        try:
            charges = await self._handover.result(metered.stored, self._wait_seconds)
        except TimeoutError:
            _log.error("The ledger's database takes longer than %g seconds", self._wait_seconds)
            await asyncio.to_thread(self._writer.secure, metered.entries)
            return
        for entry in metered.entries:
            record.attempts[entry.line].charge = charges.get(entry.key)

    def enter(self, record: Record) -> Metered | None:
        """Hand the call's entries to the writer, once. None for the second time."""
        if record.metered is not None:
            return None
        entries, uncharged = list(entries_of(record)), list(purchases_of(record))
        if record.is_reserved and self._reservations is not None:
            self._reservations.end(record.id, is_charged=bool(entries))
        stored = self._writer.add([*entries, *uncharged]) if entries or uncharged else None
        record.metered = Metered(entries, stored if entries else None)
        return record.metered


class _Metering(Generic[C]):
    """See LedgerStages.hold(). Written out, since every call enters it."""

    __slots__ = ("_call", "_record", "_stages")

    def __init__(self, stages: LedgerStages, call: C, record: Record) -> None:
        self._stages, self._call, self._record = stages, call, record

    async def __aenter__(self) -> C:
        return self._call

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self._stages.settle(self._record)
        else:
            self._stages.enter(self._record)


def draft_of(record: Record) -> Entry | None:
    """Return the entry of a call that runs, as if its caller hung up now. Any thread may call it."""
    attempts = record.attempts
    if record.caller.call_key:  # It is made again.
        return None
    if not attempts or attempts[-1].outcome is not None or not _has_computed(record, attempts[-1]):
        return None
    return _entry(record, len(attempts) - 1, attempts[-1], "cancelled")


def entries_of(record: Record) -> Iterator[Entry]:
    """Yield an entry for each attempt that computed something for the caller.

    A call belongs to the moment at which it was accepted, and so do its prices and the periods that it counts for.
    The answer of an application has none: what its models compute for it are calls of their own.
    """
    if record.operation == "count" or record.shadow_of is not None or record.application is not None:
        return
    for line, attempt in enumerate(record.attempts):
        outcome = _outcome(record, attempt)
        if outcome is None:
            continue
        yield _entry(record, line, attempt, outcome)


def purchases_of(record: Record) -> Iterator[Entry]:
    """Yield what a provider asks for and nobody is charged for: attempts that failed, and shadows.

    A call with a key of its own is made again, under the same id, so what it has asked for until then isn't known.
    """
    if record.application is not None or (record.caller.call_key and record.shadow_of is None):
        return
    for line, attempt in enumerate(record.attempts):
        if record.shadow_of is None and _outcome(record, attempt) is not None:
            continue
        outcome: Outcome = "cancelled" if attempt.outcome == "cancelled" else "failed"
        entry = _entry(record, line, attempt, "shadow" if record.shadow_of is not None else outcome)
        if entry.purchase is not None:
            yield msgspec.structs.replace(entry, is_charged=False)


class ShadowPurchases(Sink):
    """Enters what providers ask for shadows."""

    def __init__(self, writer: LedgerWriter) -> None:
        self._writer = writer

    def on_closed(self, record: Record) -> None:
        if record.shadow_of is not None and (entries := [*purchases_of(record)]):
            self._writer.add(entries)


def _entry(record: Record, line: int, attempt: Attempt, outcome: Outcome) -> Entry:
    return Entry(
        call_id=record.id,
        line=line,
        request_id=stored_text(record.caller.request_id, 64),
        at=int(record.opened_at.timestamp()),
        project=record.caller.project,
        key_id=record.caller.key_id,
        user=stored_text(record.caller.user),
        route=record.route or "",
        model=stored_text(record.model),
        version=stored_text(attempt.version),
        app=record.caller.app or "",
        operation=record.operation,
        outcome=outcome,
        is_background=record.caller.is_background,
        replica_micros=replica_micros(attempt),
        purchase=purchase_of(attempt),
        **_tokens(record, attempt),
    )


def _outcome(record: Record, attempt: Attempt) -> Outcome | None:
    """Return how the attempt ended; None if it costs nothing."""
    if attempt.outcome in ("failed", "refused") or not attempt.is_accepted:
        return None
    if attempt.is_from_cache:
        return "cached"
    if attempt.outcome == "cancelled":
        # A call with an idempotency key is repeated, and charged then.
        return "cancelled" if _has_computed(record, attempt) and not record.caller.call_key else None
    is_blocked = record.screening is not None and record.screening.has_blocked
    return "blocked" if is_blocked else "answered"


def _has_computed(record: Record, attempt: Attempt) -> bool:
    """Return whether something is known to be computed: the first token shows that the prompt was."""
    return attempt.first_token_at is not None or (record.operation == "embed" and attempt.num_prompt_tokens > 0)


def _tokens(record: Record, attempt: Attempt) -> dict[str, Any]:
    if attempt.is_from_cache:
        return {}
    num_computed = max(0, attempt.num_prompt_tokens - attempt.num_cached_tokens)
    if record.operation == "embed":
        return {"embedding_tokens": attempt.num_prompt_tokens}
    if record.operation == "rate":
        return {"rated_tokens": num_computed, "cached_input_tokens": attempt.num_cached_tokens}
    return {
        "input_tokens": num_computed,
        "cached_input_tokens": attempt.num_cached_tokens,
        "output_tokens": attempt.num_completion_tokens,
    }


def replica_micros(attempt: Attempt) -> int:
    """Return how long a replica of this installation worked: from the prompt's first batch to the last token."""
    if attempt.is_from_cache or attempt.served is None or attempt.served.number is None:
        return 0
    if attempt.accepted_at is not None and attempt.last_token_at is not None:
        seconds = attempt.last_token_at - attempt.accepted_at
    else:
        seconds = attempt.seconds - attempt.loading_seconds
    return max(0, round((seconds - attempt.queued_seconds) * 1e6))


def stored_text(text: str, length: int = _MAX_TEXT) -> str:
    """Return what every database stores: without halves of characters and without NUL."""
    if text.isascii() and "\0" not in text:
        return text[:length]
    return text.encode(errors="replace").decode().replace("\0", "")[:length]
