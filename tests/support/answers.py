"""Facts of answers, as the table has them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

AT = datetime(2026, 9, 21, tzinfo=UTC)


def facts(id: str, *, seconds: int = 0, **fields: Any) -> Mapping[str, Any]:
    plain: dict[str, Any] = {
        "id": id, "request_id": f"req-of-{id}", "at": int(AT.timestamp()) + seconds, "project": "acme",
        "key_id": "key-1", "user": "", "asked": "dialogue", "model": "smollm2", "route": "dialogue",
        "version": "smollm2@1", "app": "", "run": "", "operation": "generate", "outcome": "answered", "error": "",
        "verdict": "", "num_attempts": 1, "input_tokens": 5, "cached_input_tokens": 2, "output_tokens": 3,
        "cost_nanos": None, "currency": "", "price_version": None, "guardrail_micros": 0, "load_micros": 0,
        "queue_micros": 1000, "prefill_micros": 2000, "decode_micros": 3000, "first_token_micros": 3000,
        "total_micros": 6500, "replica_micros": 5000,
    }  # fmt: skip
    return {**plain, **fields}
