"""Money: decimal texts to integers of a billionth (nano-units) or of a minor unit, and back, exactly. No floats."""

import re

from llmos.core.errors import BadRequest

NANOS = 10**9

_MINOR_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
"""The currencies of ISO 4217 whose minor unit isn't a hundredth."""

_DECIMAL = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))?", re.ASCII)


def parse_nanos(value: object, param: str, *, limit: int) -> int:
    """Return the billionths that a text such as "0.15" stands for. `limit`: the largest amount in whole units.

    Raises BadRequest for anything else, for floats too: 0.1 isn't a tenth.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRequest(f'`{param}` is {value!r:.40}. Write a decimal in quotes, such as "0.15".', param=param)
    match = _DECIMAL.fullmatch(str(value))
    if match is None:
        raise BadRequest(
            f"`{param}` is {value!r:.40}. Write a decimal with at most nine digits after the point.", param=param
        )
    nanos = int(match[1]) * NANOS + int((match[2] or "").ljust(9, "0"))
    if nanos > limit * NANOS:
        raise BadRequest(f"`{param}` is {value}; it may be {limit:,} at most.", param=param)
    return nanos


def parse_cost(text: str) -> int:
    """Return the billionths of a cost that a server has written."""
    sign = -1 if text.startswith("-") else 1
    return sign * parse_nanos(text.removeprefix("-"), "cost", limit=10**12)


def format_nanos(nanos: int) -> str:
    """1500000000 -> "1.5"."""
    return format_decimal(nanos, 9)


def format_decimal(value: int, digits: int, *, min_digits: int = 0) -> str:
    """Return `value` / 10**digits as a decimal. Zeros at its end are left out, but for `min_digits` of them."""
    whole, part = divmod(abs(value), 10**digits)
    fraction = f"{part:0{digits}d}".rstrip("0").ljust(min_digits, "0") if digits else ""
    return f"{'-' if value < 0 else ''}{whole}{'.' if fraction else ''}{fraction}"


def minor_digits(currency: str) -> int:
    """Return how many decimal places the amounts of a currency have: 2 for EUR, 0 for JPY."""
    return next((digits for digits, names in _MINOR_DIGITS.items() if currency in names.split()), 2)


def divide_half_even(numerator: int, divisor: int) -> int:
    """Return the quotient, rounded to the nearest integer, and halves to the even one."""
    quotient, rest = divmod(numerator, divisor)
    is_up = 2 * rest > divisor or (2 * rest == divisor and quotient % 2 == 1)
    return quotient + is_up


def divide_half_up(numerator: int, divisor: int) -> int:
    """Return the quotient, rounded to the nearest integer, and halves away from zero, as merchants do."""
    quotient = (2 * abs(numerator) + divisor) // (2 * divisor)
    return -quotient if numerator < 0 else quotient
