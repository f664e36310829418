"""Usage: what was consumed in a time, by project, key, user, route, model, app or day."""

from datetime import datetime

import msgspec

from llmos.core.schemas.base import Description


class UsageDescription(Description, frozen=True, kw_only=True):
    value: str = ""
    """The project, key, user, route, version, app or day. Empty: none, such as of calls that name no user."""
    num_calls: int = 0
    input_tokens: int = 0
    """Tokens of prompts that were computed."""
    cached_input_tokens: int = 0
    """Tokens of prompts that were found in the prefix cache."""
    output_tokens: int = 0
    embedding_tokens: int = 0
    rated_tokens: int = 0
    """Tokens of texts that were scored."""
    replica_seconds: float = 0.0
    costs: dict[str, str] = msgspec.field(default_factory=dict)
    """By currency, as decimals. Empty where no price applied."""
    provider_costs: dict[str, str] = msgspec.field(default_factory=dict)
    """What providers ask for these calls, for those who may see every project."""
    margins: dict[str, str] = msgspec.field(default_factory=dict)
    """By currency: `costs` without `provider_costs`, where there are any."""


class UsageReport(Description, frozen=True, kw_only=True):
    by: str = ""
    start: datetime | None = None
    end: datetime | None = None
    """The first moment after it."""
    data: list[UsageDescription] = msgspec.field(default_factory=list)
    """Days in order; others by their calls, most first."""
