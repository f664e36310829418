"""The attributes of traces, by OpenTelemetry's conventions for generative AI. The only place that knows their names.

https://opentelemetry.io/docs/specs/semconv/gen-ai/ (version 1.37 and later: gen_ai.provider.name). What the conventions
don't name has the prefix llmos.
"""

from collections.abc import Mapping

from llmos.engine.messages import SamplingParams
from llmos.gateway.calls.record import Attempt, Record

Value = str | int | float | bool
Attributes = Mapping[str, Value]

_OPERATIONS = {"generate": "chat", "embed": "embeddings", "rate": "rate"}
_SAMPLING = {
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
}


def span_name(record: Record) -> str:
    """Return "chat smollm2": the operation, and the name that was asked for."""
    return f"{_OPERATIONS.get(record.operation, record.operation)} {record.model}"


def call_attributes(record: Record) -> dict[str, Value]:
    """Return what is known of a call that has ended. No text of a prompt or an answer is among it."""
    found: dict[str, Value] = {
        "gen_ai.operation.name": _OPERATIONS.get(record.operation, record.operation),
        "gen_ai.provider.name": "llmos",
        "gen_ai.request.model": record.model,
        "gen_ai.response.id": record.id,
        "llmos.project": record.caller.project,
        "llmos.key": record.caller.key_id,
        "llmos.request_id": record.caller.request_id,
        "llmos.outcome": record.outcome or "",
    }
    if record.route is not None:
        found["llmos.route"] = record.route
    if record.error_code is not None:
        found["error.type"] = record.error_code
    if record.attempts:
        found |= attempt_attributes(record.attempts[-1])
    if record.screening is not None:
        found["llmos.guardrails.findings"] = len(record.screening.findings)
    return found


def attempt_attributes(attempt: Attempt) -> dict[str, Value]:
    """Return what is known of one try on one model."""
    found: dict[str, Value] = {"gen_ai.response.model": attempt.version}
    if attempt.error_code is not None:
        found["error.type"] = attempt.error_code
    if attempt.is_from_cache is not None:
        found["llmos.response_cache.hit"] = attempt.is_from_cache
    if attempt.is_accepted:
        found |= {
            "gen_ai.usage.input_tokens": attempt.num_prompt_tokens,
            "gen_ai.usage.cache_read.input_tokens": attempt.num_cached_tokens,
            "gen_ai.usage.output_tokens": attempt.num_completion_tokens,
        }
    return found | _sampling_attributes(attempt.sampling)


def _sampling_attributes(sampling: SamplingParams | None) -> dict[str, Value]:
    if sampling is None:
        return {}
    values = {name: getattr(sampling, field) for field, name in _SAMPLING.items()}
    return {name: value for name, value in values.items() if value is not None}
