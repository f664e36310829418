"""Price books: what calls, tokens and the time of replicas cost from a date on."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class PriceBookDescription(Description, frozen=True, kw_only=True):
    version: int = 0
    valid_from: datetime | None = None
    currency: str = ""
    prices: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    """By what they are for: default, model:NAME, model:NAME@NUMBER or route:NAME. Amounts are decimal texts, or lists
    of tiers."""
    free: dict[str, int] = msgspec.field(default_factory=dict)
    """Units a month that cost nothing, whatever they are for: calls, seconds and the kinds of tokens."""
    plan: str = ""
    """They are the prices of this plan; empty: the general ones."""
    created_at: datetime | None = None
    created_by: str = ""


class PriceExample(Description, frozen=True, kw_only=True):
    """The price of an example."""

    cost: str | None = None
    """A decimal; null where no price applies."""
    currency: str = ""
    price_version: int | None = None
    applied: str = ""
    """The prices that apply, such as route:dialogue."""
    plan: str = ""
    """The plan whose own prices these are; empty: they are the general ones."""
