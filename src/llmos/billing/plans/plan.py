"""Plan: how a project pays. As it goes, with credit in advance, or by the month with an allowance and overage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from llmos.billing.prices import TOKENS, check_currency, check_names, check_units, read_prices, read_units
from llmos.core.errors import BadRequest
from llmos.core.money import parse_nanos
from llmos.core.names import check_name

PlanKind = Literal["pay_as_you_go", "prepaid", "subscription"]

ALL_TOKENS = "tokens"
"""Stands beside the measures: tokens of any kind."""

DEFAULT_ALERTS = (50, 80, 100)

TOKEN_MEASURES = frozenset(TOKENS.values())

FIELDS = ("name", "kind", "currency", "from", "monthly_fee", "included", "prices", "limits", "alerts")

_LIMIT_UNITS: Mapping[str, Literal["money", "tokens", "requests"]] = {
    "spend": "money",
    "tokens": "tokens",
    "calls": "requests",
}
_PERIODS = ("day", "month", "total")
_MAX_MONEY = 10**9
_MAX_LIMITS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanLimit:
    """The most that a project may use in a period."""

    unit: Literal["money", "tokens", "requests"]
    amount: int
    """Billionths of the plan's currency, or a number."""
    per: Literal["day", "month", "total"] = "month"
    is_hard: bool = True
    """A hard limit stops calls; a soft one only causes alerts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One version. It never changes."""

    name: str
    version: int = 1
    valid_from: int = 0
    """Seconds since 1970."""
    kind: PlanKind = "pay_as_you_go"
    currency: str
    monthly_fee: int = 0
    """Billionths of the currency."""
    included: Mapping[str, int] = field(default_factory=dict)
    """Units a month that the fee pays, by measure, such as output_tokens, or ALL_TOKENS."""
    included_spend: int = 0
    """Billionths of the currency a month that the fee pays."""
    has_prices: bool = False
    """It has prices of its own, in place of the general ones: a price book with the plan's name and version."""
    limits: Sequence[PlanLimit] = ()
    alerts: Sequence[int] = DEFAULT_ALERTS
    """Percentages of limits, credit and what is included."""


def read_plan(document: Any) -> Plan:
    """Return the plan in a document. Raises BadRequest, which names the place."""
    if not isinstance(document, dict):
        raise BadRequest(f"A plan is an object with {', '.join(FIELDS)}.", param="plan")
    check_names(document, FIELDS, "plan")
    name = document.get("name")
    check_name(name if isinstance(name, str) else "", "a plan")
    kind: Any = document.get("kind")
    if kind not in get_args(PlanKind):
        raise BadRequest(f"`kind` is {kind!r:.40}. Write {', '.join(get_args(PlanKind))}.", param="kind")
    if kind != "subscription" and (wrong := [each for each in ("monthly_fee", "included") if document.get(each)]):
        raise BadRequest(f"`{wrong[0]}` is for the kind subscription, and this plan is {kind}.", param=wrong[0])
    prices = document.get("prices")
    if prices is not None and "default" not in read_prices(prices):
        raise BadRequest(
            "`prices` of a plan stand in place of the general ones. Write their `default`, too.", param="prices"
        )
    included, spend = _read_included(document.get("included") or {})
    return Plan(
        name=str(name),
        kind=kind,
        currency=check_currency(document.get("currency")),
        monthly_fee=parse_nanos(document.get("monthly_fee", 0), "monthly_fee", limit=_MAX_MONEY),
        included=included,
        included_spend=spend,
        has_prices=prices is not None,
        limits=_read_limits(document.get("limits") or []),
        alerts=_read_alerts(document.get("alerts")),
    )


def _read_included(value: Any) -> tuple[Mapping[str, int], int]:
    """Return what a fee pays, in units and in money."""
    if not isinstance(value, dict):
        raise BadRequest('`included` is an object, such as {spend: "10", tokens: 5000000}.', param="included")
    units = {name: each for name, each in value.items() if name not in ("spend", ALL_TOKENS)}
    included = dict(read_units(units, "included"))
    if ALL_TOKENS in value:
        included[ALL_TOKENS] = check_units(value[ALL_TOKENS], f"included.{ALL_TOKENS}")
    return included, parse_nanos(value.get("spend", 0), "included.spend", limit=_MAX_MONEY)


def _read_limits(value: Any) -> Sequence[PlanLimit]:
    if not isinstance(value, list) or len(value) > _MAX_LIMITS:
        raise BadRequest(f"`limits` is a list of {_MAX_LIMITS} at most.", param="limits")
    return tuple(_read_limit(each, f"limits.{index}") for index, each in enumerate(value))


def _read_limit(value: Any, param: str) -> PlanLimit:
    example = f'`{param}` is an object such as {{spend: "100", per: month, hard: true}}.'
    if not isinstance(value, dict):
        raise BadRequest(example, param=param)
    check_names(value, (*_LIMIT_UNITS, "per", "hard"), param)
    given = [name for name in _LIMIT_UNITS if name in value]
    per, is_hard = value.get("per", "month"), value.get("hard", True)
    if len(given) != 1 or per not in _PERIODS or not isinstance(is_hard, bool):
        raise BadRequest(
            f"{example} It has one of {', '.join(_LIMIT_UNITS)}; `per` is {', '.join(_PERIODS)}.", param=param
        )
    number = value[given[0]]
    if given[0] == "spend":
        amount = parse_nanos(number, f"{param}.spend", limit=_MAX_MONEY)
    else:
        amount = check_units(number, f"{param}.{given[0]}")
    if amount == 0:
        raise BadRequest(f"`{param}.{given[0]}` is 0, which allows no calls. Write a larger one.", param=param)
    return PlanLimit(unit=_LIMIT_UNITS[given[0]], amount=amount, per=per, is_hard=is_hard)


def _read_alerts(value: Any) -> Sequence[int]:
    if value is None:
        return DEFAULT_ALERTS
    is_list = isinstance(value, list) and len(value) <= 10
    if not is_list or not all(isinstance(each, int) and 1 <= each <= 100 for each in value):
        raise BadRequest("`alerts` are up to 10 percentages from 1 to 100, such as [50, 80, 100].", param="alerts")
    return tuple(sorted(set(value)))
