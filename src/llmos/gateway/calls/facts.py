"""The facts of a call that has ended, as the table of answers has them. No text of a prompt or an answer."""

from collections.abc import Mapping
from typing import Any

from llmos.billing.entries import Charge
from llmos.core.names import APP_PREFIX
from llmos.data.answers.filters import VERDICTS
from llmos.gateway.calls.ledger_stages import stored_text
from llmos.gateway.calls.record import Attempt, Record


def has_facts(record: Record) -> bool:
    """Return whether the facts of a call are kept: of those that limits and budgets let through.

    Refused calls cost their callers nothing, so there may be any number of them. The log has them.
    """
    return record.shadow_of is None and record.operation != "count" and record.held_at is not None


def facts_of(record: Record, ended: float, charge: Charge | None) -> dict[str, Any]:
    """Return the columns of the table. `ended`: on the clock of time.perf_counter."""
    last = record.attempts[-1] if record.attempts else None
    version = "" if last is None else last.version
    caller = record.caller
    return {
        "id": record.id,
        "request_id": stored_text(caller.request_id, 64),
        "at": int(record.opened_at.timestamp()),
        "project": caller.project,
        "key_id": caller.key_id,
        "user": stored_text(caller.user),
        "asked": stored_text(record.model),
        "model": stored_text(version.partition("@")[0]),
        "route": record.route or "",
        "version": stored_text(version),
        "app": (record.application or "").removeprefix(APP_PREFIX) or caller.app or "",
        "run": stored_text(_run(record), 64),
        "operation": record.operation,
        "outcome": _outcome(record),
        "error": record.error_code or "",
        "verdict": _verdict(record),
        "num_attempts": len(record.attempts),
        "input_tokens": sum(each.num_prompt_tokens for each in record.attempts),
        "cached_input_tokens": sum(each.num_cached_tokens for each in record.attempts),
        "output_tokens": sum(each.num_completion_tokens for each in record.attempts),
        "cost_nanos": None if charge is None else charge.cost_nanos,
        "currency": "" if charge is None else charge.currency,
        "price_version": None if charge is None else charge.price_version,
        **_timings(record, last, ended),
    }


def _run(record: Record) -> str:
    """Return the run of the application that has answered, or else the run that the caller says the call belongs to."""
    run = None if record.resolution is None else record.resolution.application
    if run is not None and run.result is not None:
        return run.result.id
    return record.caller.run


def _outcome(record: Record) -> str:
    if record.screening is not None and record.screening.has_blocked:
        return "blocked"
    is_cached = record.outcome == "answered" and record.attempts and record.attempts[-1].is_from_cache
    return "cached" if is_cached else record.outcome or "failed"


def _verdict(record: Record) -> str:
    found = {each.verdict for each in record.screening.findings} if record.screening is not None else set()
    return next((verdict for verdict in reversed(VERDICTS) if verdict in found), "")


def _timings(record: Record, last: Attempt | None, ended: float) -> Mapping[str, int | None]:
    """Return the microseconds of each stage.

    began ─ guardrails ─ attempts that failed ─┬─ load ─┬─ queue ─┬─ prefill ─┬─ decode ─┬ ended
                                               └ the last attempt
    """
    screened = 0.0
    if record.screening is not None and record.held_at is not None and record.checked_at is not None:
        screened = record.checked_at - record.held_at
    load = queue = prefill = decode = 0.0
    first_token = None
    if last is not None:
        load, queue = last.loading_seconds, last.queued_seconds  # As the replica says: events may be read late.
        if last.first_token_at is not None and last.last_token_at is not None:
            first_token = last.first_token_at - record.began
            prefill = last.first_token_at - last.began - load - queue
            decode = last.last_token_at - last.first_token_at
    return {
        "guardrail_micros": _micros(screened),
        "load_micros": _micros(load),
        "queue_micros": _micros(queue),
        "prefill_micros": _micros(prefill),
        "decode_micros": _micros(decode),
        "first_token_micros": None if first_token is None else _micros(first_token),
        "total_micros": _micros(ended - record.began),
        "replica_micros": sum(entry.replica_micros for entry in record.metered.entries) if record.metered else 0,
    }


def _micros(seconds: float) -> int:
    return max(0, round(seconds * 1e6))
