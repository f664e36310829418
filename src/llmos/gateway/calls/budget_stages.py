"""BudgetStages: holds calls against the limits that apply to them, before any work, and ends answers that they don't
pay for any more. billing/reservations.py does the counting.

A call that no hard limit applies to costs nothing here. An answer that is cut ends with `length`, a warning, and the
name of the budget in its receipt.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace

import msgspec

from llmos.billing.entries import Entry
from llmos.billing.limit_book import LimitBook, LimitIndex
from llmos.billing.limits import Limit, Payer
from llmos.billing.reservation_writer import ReservationWriter
from llmos.billing.reservations import Grant, Want
from llmos.billing.worst_cases import WorstCase
from llmos.core.errors import LLMOSError
from llmos.core.handover import Handover
from llmos.engine.messages import Delta
from llmos.gateway.calls import worst_cases
from llmos.gateway.calls.attempt import Attempts
from llmos.gateway.calls.call import Call, ModelCall
from llmos.gateway.calls.ledger_stages import draft_of, replica_micros, stored_text
from llmos.gateway.calls.rating import RateCall
from llmos.gateway.calls.record import Record
from llmos.gateway.calls.stages import C, Entered
from llmos.gateway.calls.tool_calls import CallWarning
from llmos.gateway.calls.worst_cases import is_exact, worst_case

_log = logging.getLogger(__name__)


class BudgetStages:
    """The hold and the filter of one pipeline. Belongs to the event loop's thread."""

    def __init__(self, book: LimitBook, writer: ReservationWriter, attempts: Attempts) -> None:
        """`attempts`: counts the tokens of prompts where their bound is too much."""
        self._book, self._writer, self._attempts = book, writer, attempts
        self._reading: asyncio.Task[LimitIndex] | None = None
        self._handover = Handover()

    def hold(self, call: C, record: Record) -> AbstractAsyncContextManager[C]:
        """Raises BudgetExceeded, QuotaExceeded. LedgerStages releases the reservation when the call has ended."""
        # The calls of models that an application makes are separate calls, with reservations of their own.
        if record.operation == "count" or record.application is not None:
            return nullcontext(call)
        index = self._current()
        if index is not None and not index.hard_of(payer_of(record), int(record.opened_at.timestamp())):
            return nullcontext(call)
        return Entered(self._hold(call, record))

    async def _hold(self, call: C, record: Record) -> C:
        index = self._current()
        if index is None:
            index = await asyncio.to_thread(self._book.read)
        if index.hard_of(payer_of(record), int(record.opened_at.timestamp())):
            record.grant = await self._grant(call, record)
            call = _shortened(call, record.grant)
        return call

    def _current(self) -> LimitIndex | None:
        """Return the limits without reading the database; None if the call must wait for that."""
        if (index := self._book.current()) is not None:
            return index
        index, is_reading = self._book.recent(), self._reading is not None and not self._reading.done()
        if index is not None and not is_reading:
            self._reading = asyncio.create_task(asyncio.to_thread(self._book.read), name="limits of calls")
            self._reading.add_done_callback(_log_failure)
        return index

    async def _grant(self, call: ModelCall, record: Record) -> Grant:
        """Return what the call may use. Its prompts are counted only if the limits don't pay for their bound."""
        case = worst_case(call, record)
        if not is_exact(call):
            grant = await self._reserve(record, case, may_shorten=False)
            if grant is not None:
                return grant
            case = await self._counted(call, record) or case
        grant = await self._reserve(record, case, may_shorten=True)
        assert grant is not None, "a call that may be shortened is granted or refused"
        return grant

    async def _counted(self, call: ModelCall, record: Record) -> WorstCase | None:
        """Return the worst case with the true length of the prompts; None where it can't be counted here."""
        prompts = call.prompts if isinstance(call, Call) else [call.prompt] if isinstance(call, RateCall) else ()
        resolution = record.resolution
        assert resolution is not None, "the name is resolved before the holds"
        if not isinstance(call, Call | RateCall) or len(resolution.versions()) != 1:
            return None
        try:
            num_tokens = await self._attempts.count_prompts(record, resolution.backend(resolution.main), call, prompts)
        except LLMOSError:
            return None
        return worst_case(call, record, num_tokens)

    async def _reserve(self, record: Record, case: WorstCase, *, may_shorten: bool) -> Grant | None:
        want = Want(
            call_id=record.id,
            payer=payer_of(record),
            at=int(record.opened_at.timestamp()),
            case=case,
            may_shorten=may_shorten,
        )
        record.is_reserved = True
        return await self._handover.result(self._writer.reserve(want, lambda: _draft(record)))

    def filter(self, deltas: AsyncIterator[Delta], record: Record) -> AsyncIterator[Delta]:
        """Return the deltas as far as the limits pay for them."""
        return deltas if record.grant is None else self._paid(deltas, record, record.grant)

    async def _paid(self, deltas: AsyncIterator[Delta], record: Record, grant: Grant) -> AsyncGenerator[Delta, None]:
        lengths = dict.fromkeys(range(grant.case.case.num_outputs), 0)
        async for delta in deltas:
            lengths[delta.index] = delta.num_output_tokens
            if delta.finish_reason is not None:
                del lengths[delta.index]
                if grant.shortened_by is not None and _is_cut(delta, grant):
                    _stop(record, grant.shortened_by, delta.index)
            limit = _used_up(record, grant) if lengths else None
            if limit is not None:
                _stop(record, limit, min(lengths), is_unbounded=_is_unbounded(record, grant))
            yield delta
            if limit is not None:
                for index, length in lengths.items():
                    yield Delta(id=delta.id, index=index, finish_reason="length", num_output_tokens=length)
                return


def _log_failure(task: "asyncio.Task[LimitIndex]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("The limits of calls can't be read again: %s", error)


def payer_of(record: Record) -> Payer:
    caller = record.caller
    return Payer(caller.project, caller.key_id, stored_text(caller.user))


def _draft(record: Record) -> Entry | None:
    # A caller who waits for the whole answer has got nothing when the server dies.
    return draft_of(record) if record.is_streamed else None


def _shortened(call: C, grant: Grant) -> C:
    """Return the call with an answer that the limits pay for."""
    if grant.shortened_by is None or not isinstance(call, Call):
        return call
    params, longest = call.sampling.params, grant.output_tokens
    if params.max_tokens is not None and params.max_tokens <= longest:
        return call
    params = msgspec.structs.replace(
        params, max_tokens=longest, min_tokens=min(params.min_tokens, longest), may_exceed_context=True
    )
    return replace(call, sampling=replace(call.sampling, params=params))


def _is_cut(delta: Delta, grant: Grant) -> bool:
    """Return whether a choice would be longer if the limits paid for more."""
    is_shorter = grant.output_tokens < grant.case.case.output_tokens
    return delta.finish_reason == "length" and is_shorter and delta.num_output_tokens >= grant.output_tokens


def _used_up(record: Record, grant: Grant) -> Limit | None:
    """Return a limit that pays for no further token."""
    attempt, case = record.attempts[-1], grant.case
    if attempt.is_from_cache:
        return None  # Nothing is computed.
    num_input, num_output = attempt.num_prompt_tokens, attempt.num_completion_tokens
    micros = replica_micros(attempt)
    for limit, held in grant.held:
        used = case.used(limit, num_input, num_output, micros)
        # A model that keeps to max_tokens ends by itself where the limit pays for all that the call asks for.
        if used > held or (used == held and limit is grant.shortened_by and limit.unit != "requests"):
            return limit
    return None


def _is_unbounded(record: Record, grant: Grant) -> bool:
    """Return whether an answer is longer than was reserved because nobody knew how long it can be."""
    attempt = record.attempts[-1]
    has_limit = attempt.sampling is not None and attempt.sampling.max_tokens is not None
    return attempt.remote is not None and grant.shortened_by is None and not has_limit


def _stop(record: Record, limit: Limit, index: int, *, is_unbounded: bool = False) -> None:
    """Record that a limit has ended the answer, and warn the caller, once, with a choice that ends."""
    if record.stopped_by is not None or record.warn is None:
        return
    record.stopped_by = limit
    whose = f"the {limit.kind} {limit.name} for {limit.scope.title()} ({limit.format(limit.amount)} {limit.per})"
    message = f"The answer ends early: {whose} pays for no more."
    if is_unbounded:
        message = (
            f"The answer ends early: it isn't known how long answers of {record.attempts[-1].version} can be, so"
            f" {worst_cases.UNKNOWN_OUTPUT_TOKENS:,} tokens of it were held against {whose}. Send `max_tokens` for a"
            " longer one."
        )
    record.warn(index, [CallWarning(code="budget_exceeded", message=message)])
