"""The cost of calls at providers: their prices, the cost of calls, and implausible counts in their reports."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class ProviderPriceDescription(Description, frozen=True, kw_only=True):
    """A version of the prices of a provider's models."""

    provider: str = ""
    version: int = 0
    valid_from: datetime | None = None
    currency: str = ""
    prices: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    """The prices by the provider's name of the model, or `default`. Amounts are decimal texts."""
    created_at: datetime | None = None
    created_by: str = ""


class ProviderCost(Description, frozen=True, kw_only=True):
    """The usage and cost of one model at a provider."""

    provider: str = ""
    model: str = ""
    """The provider's name for it."""
    num_calls: int = 0
    """The number of attempts that the provider accepted, including shadow calls and those that failed later."""
    num_estimated: int = 0
    """The number of calls whose tokens the provider didn't report, such as calls whose caller hung up."""
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    costs: dict[str, str] = msgspec.field(default_factory=dict)
    """The costs by currency, as decimal texts."""
    reported_calls: int = 0
    """The number of calls whose cost the provider reported."""
    reported_costs: dict[str, str] = msgspec.field(default_factory=dict)
    """The sums of the reported costs by currency, as decimal texts."""
    differences: dict[str, int] = msgspec.field(default_factory=dict)
    """The number of calls by what is implausible in the provider's report: unreported, input, output or cost."""


class ProviderCostReport(Description, frozen=True, kw_only=True):
    start: datetime | None = None
    end: datetime | None = None
    """The end of the period (exclusive)."""
    data: list[ProviderCost] = msgspec.field(default_factory=list)


class ProviderCall(Description, frozen=True, kw_only=True):
    """One attempt of a call that a provider accepted."""

    call_id: str = ""
    """The id of the answer."""
    line: int = 0
    """The index of the attempt of the call."""
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
    """The ledger has an entry for this attempt."""
    is_estimated: bool = False
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cost: str | None = None
    """The cost by the provider's prices; without prices, the cost that the provider reported."""
    currency: str = ""
    price_version: int | None = None
    reported_cost: str | None = None
    """The cost that the provider reported; null if it reports none."""
    differences: list[str] = msgspec.field(default_factory=list)


class ProviderCallPage(Description, frozen=True, kw_only=True):
    data: list[ProviderCall] = msgspec.field(default_factory=list)
    """Newest first."""
