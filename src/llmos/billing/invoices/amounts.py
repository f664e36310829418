"""Amounts of invoices: exact ones, in units of 10**-15 of the currency, and rounded ones, in its minor unit."""

from collections.abc import Iterable

from llmos.core.money import NANOS, divide_half_up, format_decimal, minor_digits
from llmos.core.schemas.invoices import InvoiceLine

EXACT_DIGITS = 15
"""The decimal places of an exact amount: billionths of the currency by millionths of a unit."""


def format_exact(exact: int) -> str:
    return format_decimal(exact, EXACT_DIGITS)


def parse_exact(text: str) -> int:
    return _parse(text, EXACT_DIGITS)


def format_amount(minor: int, currency: str) -> str:
    """Return the decimal of an amount in minor units: 1050 cents are 10.50 EUR."""
    digits = minor_digits(currency)
    return format_decimal(minor, digits, min_digits=digits)


def parse_amount(text: str, currency: str) -> int:
    return _parse(text, minor_digits(currency))


def nanos_per_minor(currency: str) -> int:
    return int(10 ** (9 - minor_digits(currency)))


def tax_of(net: int, percent_nanos: int) -> int:
    """Return the tax on an amount in minor units, rounded to the nearest, halves away from zero."""
    return divide_half_up(net * percent_nanos, 100 * NANOS)


def sum_amounts(lines: Iterable[InvoiceLine], currency: str) -> int:
    """Return the sum of what lines are rounded to, in minor units."""
    return sum(parse_amount(line.amount, currency) for line in lines)


def sum_exact(lines: Iterable[InvoiceLine]) -> int:
    return sum(parse_exact(line.exact) for line in lines)


def negated(text: str) -> str:
    """Return the decimal with the opposite sign."""
    if not text.strip("0."):
        return text
    return text[1:] if text.startswith("-") else f"-{text}"


def _parse(text: str, digits: int) -> int:
    whole, _, fraction = text.partition(".")
    return int(f"{whole}{fraction.ljust(digits, '0')}")
