"""The cost of calls at providers: what they ask, what calls cost there, and where their counts can't be right."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class ProviderPriceDescription(Description, frozen=True, kw_only=True):
    """A version of what a provider asks for its models."""

    provider: str = ""
    version: int = 0
    valid_from: datetime | None = None
    currency: str = ""
    prices: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    """By the provider's name of the model, or `default`. Amounts are decimal texts."""
    created_at: datetime | None = None
    created_by: str = ""


class ProviderCost(Description, frozen=True, kw_only=True):
    """The calls of one model at a provider."""

    provider: str = ""
    model: str = ""
    """The provider's name for it."""
    num_calls: int = 0
    """Attempts that the provider accepted: those that failed later, and shadows, too."""
    num_estimated: int = 0
    """Calls whose tokens the provider hasn't reported, such as those of callers who hung up."""
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    costs: dict[str, str] = msgspec.field(default_factory=dict)
    """By currency, as decimals."""
    reported_calls: int = 0
    """Calls whose cost the provider named."""
    reported_costs: dict[str, str] = msgspec.field(default_factory=dict)
    """The sums of these costs."""
    differences: dict[str, int] = msgspec.field(default_factory=dict)
    """Calls by what can't be right: unreported, input, output or cost."""


class ProviderCostReport(Description, frozen=True, kw_only=True):
    start: datetime | None = None
    end: datetime | None = None
    """The first moment after it."""
    data: list[ProviderCost] = msgspec.field(default_factory=list)


class ProviderCall(Description, frozen=True, kw_only=True):
    """One attempt of a call that a provider accepted."""

    call_id: str = ""
    """That of the answer."""
    line: int = 0
    """Which of the call's attempts it was."""
    at: datetime | None = None
    project: str = ""
    key: str = ""
    route: str = ""
    version: str = ""
    """remote:PROVIDER/MODEL."""
    app: str = ""
    outcome: str = ""
    """answered, blocked, cancelled, failed or shadow."""
    is_charged: bool = False
    """The ledger has an entry for it."""
    is_estimated: bool = False
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cost: str | None = None
    """By the provider's prices; without prices, what the provider named."""
    currency: str = ""
    price_version: int | None = None
    reported_cost: str | None = None
    """What the provider named; null where it names none."""
    differences: list[str] = msgspec.field(default_factory=list)


class ProviderCallPage(Description, frozen=True, kw_only=True):
    data: list[ProviderCall] = msgspec.field(default_factory=list)
    """Newest first."""
