"""PriceBook: the prices of one version, and what an entry costs by them.

Of the prices that are for a call, the most specific ones apply, alone: those of its route, else of its version, else
of its model, else the default. The cost of an entry is exact until it is rounded once, to a billionth of the currency.
It is the list price: tiers and free allowances need the sums of a month, which rating.py has.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from llmos.billing.entries import Entry
from llmos.core.errors import BadRequest
from llmos.core.money import divide_half_even, parse_nanos
from llmos.core.suggest import nearest

if TYPE_CHECKING:
    from llmos.billing.tables import LedgerRow

MILLION = 1_000_000

TOKENS: Mapping[str, str] = {
    "input": "input_tokens",
    "cached_input": "cached_input_tokens",
    "output": "output_tokens",
    "embedding": "embedding_tokens",
    "rated": "rated_tokens",
}
"""The kinds of tokens, with the names of their fields in an entry."""

UNITS: Mapping[str, str] = {"calls": "num_calls", "seconds": "replica_micros", **TOKENS}
"""The units of prices and allowances, with the names of their fields in an entry."""

_KEYS = ("per_call", "per_second", "per_million_tokens", "free")
_TARGET = re.compile(r"default|(route|model):[^\s:]+|model:remote:[^\s:/]+/\S+")
_MAX_PRICE = 1000
_MAX_PER_MILLION = 1_000_000
_MAX_PRICES = 1000
_MAX_TIERS = 20
_MAX_UNITS = 10**12


@dataclass(frozen=True, kw_only=True, slots=True)
class Tier:
    """The price of a part of a month's units."""

    up_to: int | None
    """The part ends after this many units of the measure; None for the last tier."""
    price: int
    """Billionths for a call, for a second, or for a million tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """In billionths of the currency. Where there are tiers, it is the price of the first one."""

    per_call: int = 0
    per_second: int = 0
    per_million_tokens: Mapping[str, int]
    tiers: Mapping[str, Sequence[Tier]] = field(default_factory=dict)
    """By measure, such as output_tokens; only what has several."""
    free: Mapping[str, int] = field(default_factory=dict)
    """Units a month that cost nothing, by measure."""

    def tiers_of(self, measure: str) -> Sequence[Tier]:
        """Return the prices of a measure. There is always one at least."""
        return self.tiers.get(measure) or (Tier(up_to=None, price=self._list_price(measure)),)

    def _list_price(self, measure: str) -> int:
        if measure == "num_calls":
            return self.per_call
        if measure == "replica_micros":
            return self.per_second
        return next((price for kind, price in self.per_million_tokens.items() if TOKENS[kind] == measure), 0)

    def cost(self, entry: "Entry | LedgerRow") -> int:
        """Return what an entry costs, in billionths."""
        return divide_half_even(self.exact_cost(entry), MILLION)

    def exact_cost(self, entry: "Entry | LedgerRow") -> int:
        """Return what an entry costs before it is rounded, in millionths of a billionth."""
        tokens = sum(getattr(entry, TOKENS[kind]) * price for kind, price in self.per_million_tokens.items())
        return int(entry.num_calls * self.per_call * MILLION + tokens + entry.replica_micros * self.per_second)


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceBook:
    version: int
    valid_from: int
    """Seconds since 1970."""
    currency: str
    prices: Mapping[str, Prices]
    free: Mapping[str, int] = field(default_factory=dict)
    """The units per month that are free with every model, by measure."""
    plan: str = ""
    """The name of the plan whose prices these are; empty for the general prices."""
    plan_version: int | None = None

    def applied(self, entry: Entry) -> str | None:
        """Return what the prices of an entry are for; None if there are none."""
        return self.target(route=entry.route, version=entry.version)

    def target(self, *, route: str, version: str) -> str | None:
        wanted = (f"route:{route}", f"model:{version}", f"model:{version.partition('@')[0]}", "default")
        return next((each for each in wanted if each in self.prices), None)

    def cost(self, entry: Entry) -> int | None:
        target = self.applied(entry)
        return None if target is None else self.prices[target].cost(entry)


def read_prices(document: Any) -> Mapping[str, Prices]:
    """Return the prices in a document, by what they are for. Raises BadRequest, which names the place."""
    if not isinstance(document, dict) or not 0 < len(document) <= _MAX_PRICES:
        raise BadRequest(f"`prices` is an object with 1 to {_MAX_PRICES} entries, such as `default`.", param="prices")
    return {target: _read_target(target, fields) for target, fields in document.items()}


def check_currency(currency: Any) -> str:
    if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
        raise BadRequest(f"`currency` is {currency!r:.40}. Write its three letters, such as EUR.", param="currency")
    return currency


def _read_target(target: str, fields: Any) -> Prices:
    param = f"prices.{target:.100}"
    if not _TARGET.fullmatch(target):
        raise BadRequest(
            f"`{param}` is for nothing. Write default, route:NAME, model:NAME, model:NAME@1 or"
            " model:remote:PROVIDER/MODEL.",
            param=param,
        )
    return read_target_prices(fields, param)


def read_target_prices(
    fields: Any, param: str, *, keys: tuple[str, ...] = _KEYS, kinds: tuple[str, ...] = tuple(TOKENS)
) -> Prices:
    """Return the prices for one target. `keys`, `kinds`: what it may have. Raises BadRequest."""
    if not isinstance(fields, dict):
        raise BadRequest(f"`{param}` is an object with {', '.join(keys)}.", param=param)
    check_names(fields, keys, param)
    tokens = fields.get("per_million_tokens", {})
    if not isinstance(tokens, dict):
        raise BadRequest(f"`{param}.per_million_tokens` is an object with {', '.join(kinds)}.", param=param)
    check_names(tokens, kinds, f"{param}.per_million_tokens")
    tiers = {
        "num_calls": _read_tiers(fields.get("per_call", 0), f"{param}.per_call", _MAX_PRICE),
        "replica_micros": _read_tiers(fields.get("per_second", 0), f"{param}.per_second", _MAX_PRICE, MILLION),
    }
    for kind, price in tokens.items():
        tiers[TOKENS[kind]] = _read_tiers(price, f"{param}.per_million_tokens.{kind}", _MAX_PER_MILLION)
    return Prices(
        per_call=tiers["num_calls"][0].price,
        per_second=tiers["replica_micros"][0].price,
        per_million_tokens={kind: tiers[TOKENS[kind]][0].price for kind in tokens},
        tiers={measure: each for measure, each in tiers.items() if len(each) > 1},
        free=read_units(fields.get("free", {}), f"{param}.free"),
    )


def _read_tiers(value: Any, param: str, limit: int, factor: int = 1) -> Sequence[Tier]:
    """Return the tiers of a price: a list of them, or one decimal. `factor`: units of the measure for one of `up_to`.

    No tier costs more than the one before: the first price is the most that a unit can cost.
    """
    if not isinstance(value, list):
        return (Tier(up_to=None, price=parse_nanos(value, param, limit=limit)),)
    if not 0 < len(value) <= _MAX_TIERS or not all(isinstance(each, dict) for each in value):
        raise BadRequest(
            f'`{param}` is a decimal, or a list of 1 to {_MAX_TIERS} tiers: {{up_to: 1000000, price: "1.50"}}.',
            param=param,
        )
    tiers = [_read_tier(each, f"{param}.{index}", limit, factor) for index, each in enumerate(value)]
    ends = [each.up_to for each in tiers]
    starts = [0 if end is None else end for end in ends[:-1]]
    if ends[-1] is not None or any(each is None for each in ends[:-1]) or starts != sorted(set(starts)):
        raise BadRequest(f"`{param}`: every tier but the last one has an `up_to`, and they rise.", param=param)
    if any(after.price > before.price for before, after in pairwise(tiers)):
        raise BadRequest(
            f"`{param}`: no tier may cost more than the one before. Budgets and credit reserve the first price.",
            param=param,
        )
    return tuple(tiers)


def _read_tier(value: Mapping[str, Any], param: str, limit: int, factor: int) -> Tier:
    check_names(value, ("up_to", "price"), param)
    up_to = value.get("up_to")
    if up_to is not None:
        up_to = check_units(up_to, f"{param}.up_to", least=1) * factor
    return Tier(up_to=up_to, price=parse_nanos(value.get("price"), f"{param}.price", limit=limit))


def read_units(value: Any, param: str) -> Mapping[str, int]:
    """Return numbers of units by measure, such as {"output": 1000}. Raises BadRequest."""
    if not isinstance(value, dict):
        raise BadRequest(f"`{param}` is an object with {', '.join(UNITS)}.", param=param)
    check_names(value, tuple(UNITS), param)
    numbers = {unit: check_units(number, f"{param}.{unit}") for unit, number in value.items()}
    return {UNITS[unit]: number * (MILLION if unit == "seconds" else 1) for unit, number in numbers.items()}


def check_units(value: Any, param: str, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MAX_UNITS:
        raise BadRequest(
            f"`{param}` is {value!r:.40}. Write a whole number from {least} to {_MAX_UNITS:,}.", param=param
        )
    return value


def check_names(fields: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """Raises BadRequest for a field that there isn't, with the nearest one."""
    for name in fields:
        if name not in known:
            near = nearest(str(name), list(known), 1)
            hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
            raise BadRequest(f"There is no `{where}.{name:.100}`. {hint}", param=where)
