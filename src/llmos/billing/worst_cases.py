"""WorstCase: what a call consumes at most, known before it runs. Knows no database and no wire format."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from llmos.billing.limits import Limit
from llmos.billing.prices import MILLION, PriceBook, Prices

Operation = Literal["generate", "embed", "rate"]

RESERVED_SECONDS = 600
"""The time of a replica that a call is thought to need at most, where time has a price."""

LEAST_SECONDS = 1
"""A call whose budget doesn't pay for that doesn't begin."""

_KINDS: dict[str, tuple[str, ...]] = {"generate": ("input", "cached_input"), "embed": ("embedding",)}
_KINDS["rate"] = ("rated", "cached_input")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorstCase:
    operation: Operation
    route: str = ""
    versions: Sequence[str] = ()
    """The versions that may answer."""
    input_tokens: int
    """The tokens of all prompts or texts together."""
    num_outputs: int = 0
    """The number of choices of all prompts together."""
    output_tokens: int = 0
    """The most tokens of each choice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """The prices of one call, in billionths of the currency; of tokens, of a million."""

    per_call: int
    per_second: int
    per_input: int
    per_output: int

    def cost(self, num_input: int, num_output: int, micros: int) -> int:
        """Return what it costs, rounded up."""
        tokens = num_input * self.per_input + num_output * self.per_output
        return -(-(self.per_call * MILLION + tokens + micros * self.per_second) // MILLION)

    def affordable_output(self, amount: int, num_input: int, num_outputs: int) -> int:
        """Return the tokens of each choice that an amount pays for; negative if not even the prompt is."""
        rest = amount * MILLION - self.per_call * MILLION - num_input * self.per_input
        rest -= LEAST_SECONDS * MILLION * self.per_second
        if rest < 0:
            return -1
        return rest // (num_outputs * self.per_output) if num_outputs and self.per_output else _UNBOUNDED


_UNBOUNDED = 1 << 60


@dataclass(frozen=True, slots=True)
class PricedCase:
    """A worst case, and the prices that may apply to it."""

    case: WorstCase
    currency: str
    rates: tuple[Rates, ...]
    """The rates of each version that may answer and has prices."""

    def need(self, limit: Limit, output_tokens: int) -> int:
        """Return the most that the call uses of a limit if each choice has `output_tokens` tokens."""
        case = self.case
        return self.used(limit, case.input_tokens, case.num_outputs * output_tokens, RESERVED_SECONDS * MILLION)

    def used(self, limit: Limit, num_input: int, num_output: int, micros: int) -> int:
        """Return what so many tokens in a time use of a limit at most."""
        if limit.unit == "requests":
            return 1
        if limit.unit == "tokens":
            return num_input + num_output
        if limit.currency != self.currency:
            return 0
        return max((each.cost(num_input, num_output, micros) for each in self.rates), default=0)

    def affordable_output(self, limit: Limit, amount: int) -> int:
        """Return the tokens of each choice that an amount pays for; negative if the call can't begin."""
        case = self.case
        if limit.unit == "requests":
            return _UNBOUNDED if amount >= 1 else -1
        if limit.unit == "tokens":
            rest = amount - case.input_tokens
            return rest // case.num_outputs if rest >= 0 and case.num_outputs else _UNBOUNDED if rest >= 0 else -1
        if limit.currency != self.currency or not self.rates:
            return _UNBOUNDED
        # A limit that was lowered may be overspent already. A free call is allowed even then.
        return min(each.affordable_output(max(0, amount), case.input_tokens, case.num_outputs) for each in self.rates)


def priced(case: WorstCase, book: PriceBook | None) -> PricedCase:
    """Return the case with the prices of a book, or without any."""
    if book is None:
        return PricedCase(case, "", ())
    found = [
        book.prices[target] for version in case.versions if (target := book.target(route=case.route, version=version))
    ]
    rates = tuple(dict.fromkeys(rates_of(each, case.operation) for each in found))
    return PricedCase(case, book.currency, rates)


def rates_of(prices: Prices, operation: Operation) -> Rates:
    """Return the rates of a kind of call. Of the kinds of its input tokens, the dearest one counts."""
    tokens = prices.per_million_tokens
    return Rates(
        per_call=prices.per_call,
        per_second=prices.per_second,
        per_input=max(tokens.get(kind, 0) for kind in _KINDS[operation]),
        per_output=tokens.get("output", 0) if operation == "generate" else 0,
    )
