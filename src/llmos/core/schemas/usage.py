"""Usage: the consumption in a period, grouped by project, key, user, route, model, app or day."""

from datetime import datetime

import msgspec

from llmos.core.schemas.base import Description


class UsageDescription(Description, frozen=True, kw_only=True):
    value: str = ""
    """The project, key, user, route, version, app or day. Empty for calls without one, such as calls that name no
    user."""
    num_calls: int = 0
    input_tokens: int = 0
    """The tokens of prompts that were computed."""
    cached_input_tokens: int = 0
    """The tokens of prompts that were found in the prefix cache."""
    output_tokens: int = 0
    embedding_tokens: int = 0
    rated_tokens: int = 0
    """The tokens of texts that were scored."""
    replica_seconds: float = 0.0
    costs: dict[str, str] = msgspec.field(default_factory=dict)
    """The costs by currency, as decimal texts. Empty if no price applied."""
    provider_costs: dict[str, str] = msgspec.field(default_factory=dict)
    """The costs of these calls at providers, by currency, for callers who may see every project."""
    margins: dict[str, str] = msgspec.field(default_factory=dict)
    """`costs` minus `provider_costs`, by currency."""


class UsageReport(Description, frozen=True, kw_only=True):
    by: str = ""
    start: datetime | None = None
    end: datetime | None = None
    """The end of the period (exclusive)."""
    data: list[UsageDescription] = msgspec.field(default_factory=list)
    """Days in order of time; other groups by their number of calls, the largest first."""
