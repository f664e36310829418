"""Activity: the state of a server's models at one moment, and counts since the server started, which never fall."""

from datetime import datetime

import msgspec

from llmos.core.schemas.base import Description


class ModelActivity(msgspec.Struct, frozen=True, kw_only=True):
    """The activity of one model."""

    version: str = ""
    state: str = ""
    replicas_ready: int = 0
    replicas_wanted: int = 0
    num_running: int = 0
    """Sequences in the batches."""
    num_waiting: int = 0
    """Sequences that wait for room in the batches."""
    num_queued: int = 0
    """Choices that wait for admission."""
    kv_used: float | None = None
    """The share of the KV cache that sequences use; null while nothing is loaded."""
    restarts: int = 0


class Spend(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of calls, by currency, as decimals."""

    hour: dict[str, str] = msgspec.field(default_factory=dict)
    """Since the beginning of this hour."""
    day: dict[str, str] = msgspec.field(default_factory=dict)
    """Since the beginning of the hour 24 hours ago."""


class ActivityDescription(Description, frozen=True, kw_only=True):
    at: datetime | None = None
    models: list[ModelActivity] = msgspec.field(default_factory=list)
    num_calls_running: int = 0
    num_answered: int = 0
    num_failed: int = 0
    num_cancelled: int = 0
    """Calls whose caller hung up."""
    num_rejected: int = 0
    """Calls that were refused because too many were waiting."""
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    output_tokens: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    """Calls that looked into the response cache and found no answer there."""
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    """Calls that failed or were refused, by the code of the error."""
    spend: Spend = Spend()
