"""The receipt of a call, without its signature."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from llmos.billing.entries import Charge, sum_of
from llmos.core.money import format_nanos
from llmos.gateway.calls.record import Attempt, Record
from llmos.security.receipts.hashes import (
    hash_of_body,
    hash_of_choices,
    hash_of_logprobs,
    hash_of_scores,
    hash_of_vectors,
)

if TYPE_CHECKING:
    from llmos.deployments.served_model import ServedModel

_SAFE_INTEGER = 2**53 - 1

_SETTINGS = (
    "max_tokens", "min_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty",
    "frequency_penalty", "seed", "n", "ignore_eos",
)  # fmt: skip
"""The settings that a receipt shows. Stop strings and biases of tokens are part of the hashed input."""


def has_receipt(record: Record) -> bool:
    """Return whether a model has begun to answer, or a guardrail blocked the prompt."""
    if record.shadow_of is not None or record.operation == "count":
        return False
    is_blocked = record.screening is not None and record.screening.has_blocked
    return is_blocked or any(attempt.is_accepted for attempt in record.attempts)


def receipt_of(record: Record, ended_at: datetime, charge: Charge | None) -> dict[str, Any]:
    """Return the receipt of a call that has ended."""
    return {
        **_fields(record, ended_at),
        **_price(charge),
        "metered": sum_of([] if record.metered is None else record.metered.entries),
        "is_recovered": False,
        "input": hash_of_body(record.caller.request_body),
        "output": _output(record),
    }


def _fields(record: Record, ended_at: datetime) -> dict[str, Any]:
    last = record.attempts[-1] if record.attempts else None
    is_app = record.application is not None
    served = None if last is None else last.served
    return {
        "id": record.id,
        "request_id": record.caller.request_id,
        "project": record.caller.project,
        "key_id": record.caller.key_id,
        "began_at": _time(record.opened_at),
        "ended_at": _time(ended_at),
        "operation": record.operation,
        "outcome": record.outcome,
        "error": record.error_code,
        "model": record.model.encode(errors="replace").decode(),
        "route": record.route,
        "version": None if last is None else last.version,
        "digest": None if served is None else served.digest,
        "quantization": None if served is None else served.quantization,
        "runner": "app" if is_app else _runner(served),
        "guardrails": _guardrails(record),
        "stopped_by": None if record.stopped_by is None else f"{record.stopped_by.kind}:{record.stopped_by.name}",
        "usage": {
            "prompt_tokens": sum(attempt.num_prompt_tokens for attempt in record.attempts),
            "cached_tokens": sum(attempt.num_cached_tokens for attempt in record.attempts),
            "completion_tokens": sum(attempt.num_completion_tokens for attempt in record.attempts),
        },
        "sampling": None if last is None or is_app else _sampling(last),
    }


def _runner(served: "ServedModel | None") -> str | None:
    return None if served is None else "native" if served.number is not None else "provider"


def _guardrails(record: Record) -> Mapping[str, Any]:
    if record.screening is None:
        return {"policies": [], "findings": []}
    names = ("policy", "guardrail", "rule", "side", "verdict")
    return {
        "policies": [
            {"name": each.name, "version": each.version, "digest": each.digest} for each in record.screening.policies
        ],
        "findings": [{name: getattr(found, name) for name in names} for found in record.screening.findings],
    }


def _sampling(attempt: Attempt) -> dict[str, Any] | None:
    """Return the settings that were used. A provider gets those that the caller gave, and has its own defaults."""
    if attempt.sampling is None:
        return None
    is_remote = attempt.served is not None and attempt.served.number is None
    names = [name for name in _SETTINGS if not is_remote or name in (*attempt.given, "n", "seed", "max_tokens")]
    settings = {name: getattr(attempt.sampling, name) for name in names}
    # JSON in many languages has no larger numbers.
    return {
        name: str(value) if isinstance(value, int) and abs(value) > _SAFE_INTEGER else value
        for name, value in settings.items()
    }


def _price(charge: Charge | None) -> dict[str, Any]:
    if charge is None:
        return {"price_version": None, "cost": None, "currency": None}
    cost = format_nanos(charge.cost_nanos)
    return {"price_version": charge.price_version, "cost": cost, "currency": charge.currency}


def _output(record: Record) -> dict[str, Any]:
    embeddings, output = record.embeddings, record.output
    if embeddings is not None:
        is_compared = embeddings.call.num_queries is not None
        return hash_of_scores(embeddings.scores()) if is_compared else hash_of_vectors(embeddings.vectors)
    if record.ratings is not None:
        return hash_of_logprobs(record.ratings.logprobs(), record.ratings.prompt_logprobs())
    if output is None:
        return {"of": "choices", "sha256": None, "finish_reasons": []}
    return {**hash_of_choices(output.choices()), "finish_reasons": output.finish_reasons()}


def _time(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
