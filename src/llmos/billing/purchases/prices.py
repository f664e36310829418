"""PurchaseBook: what a provider asks for its models, in one version, and what a call costs by it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from llmos.billing.dated import valid_at
from llmos.billing.entries import Entry, Purchase
from llmos.billing.prices import Prices, read_target_prices
from llmos.core.errors import BadRequest

DEFAULT = "default"

_KEYS = ("per_call", "per_million_tokens")
_KINDS = ("input", "cached_input", "output")
_MODEL = re.compile(r"[\x21-\x7e]{1,160}")
_MAX_MODELS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class PurchaseBook:
    provider: str
    version: int
    valid_from: int
    """Seconds since 1970."""
    currency: str
    prices: Mapping[str, Prices]
    """By the provider's names of its models, or DEFAULT."""

    def cost(self, model: str, entry: Entry, used: Purchase) -> int | None:
        """Return what an attempt costs, in billionths; None where the model has no price."""
        prices = self.prices.get(model) or self.prices.get(DEFAULT)
        if prices is None:
            return None
        counted = {name: getattr(used, name) for name in ("input_tokens", "cached_input_tokens", "output_tokens")}
        return prices.cost(msgspec.structs.replace(entry, num_calls=1, replica_micros=0, **counted))


class PurchaseTable:
    """The prices of all providers at one moment. Any thread may use it."""

    def __init__(self, books: Sequence[PurchaseBook] = ()) -> None:
        self._books = books

    def book(self, provider: str, at: int) -> PurchaseBook | None:
        return valid_at((each for each in self._books if each.provider == provider), at)


def read_purchase_prices(document: Any) -> Mapping[str, Prices]:
    """Return the prices in a document, by model. Raises BadRequest, which names the place."""
    if not isinstance(document, dict) or not 0 < len(document) <= _MAX_MODELS:
        raise BadRequest(
            f"`prices` is an object with 1 to {_MAX_MODELS} entries: the provider's names of models, or `{DEFAULT}`.",
            param="prices",
        )
    return {model: _read_model(model, fields) for model, fields in document.items()}


def _read_model(model: Any, fields: Any) -> Prices:
    param = f"prices.{model!s:.100}"
    if not isinstance(model, str) or not _MODEL.fullmatch(model):
        raise BadRequest(f"`{param}` is no name of a model. Write it as the provider does: gpt-4o-mini.", param=param)
    prices = read_target_prices(_with_cached(fields), param, keys=_KEYS, kinds=_KINDS)
    if prices.tiers:
        raise BadRequest(f"`{param}` has tiers. A price of a provider is one decimal.", param=param)
    return prices


def _with_cached(fields: Any) -> Any:
    """Return the prices with one for cached input: that of input, where the provider asks no other."""
    tokens = fields.get("per_million_tokens") if isinstance(fields, dict) else None
    if not isinstance(tokens, dict) or "input" not in tokens or "cached_input" in tokens:
        return fields
    return {**fields, "per_million_tokens": {**tokens, "cached_input": tokens["input"]}}
