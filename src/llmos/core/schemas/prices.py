"""Price books: the prices of calls, tokens and the time of replicas from a date on."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class PriceBookDescription(Description, frozen=True, kw_only=True):
    version: int = 0
    valid_from: datetime | None = None
    currency: str = ""
    prices: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    """The prices by their target: default, model:NAME, model:NAME@NUMBER or route:NAME. Amounts are decimal texts, or
    lists of tiers."""
    free: dict[str, int] = msgspec.field(default_factory=dict)
    """The units per month that are free with every model: calls, seconds and kinds of tokens."""
    plan: str = ""
    """The plan that these prices belong to; empty for the general prices."""
    created_at: datetime | None = None
    created_by: str = ""


class PriceExample(Description, frozen=True, kw_only=True):
    """The price of an example call."""

    cost: str | None = None
    """A decimal text; null if no price applies."""
    currency: str = ""
    price_version: int | None = None
    applied: str = ""
    """The key of the price that applies, such as route:dialogue."""
    plan: str = ""
    """The plan whose prices apply; empty if the general prices apply."""
