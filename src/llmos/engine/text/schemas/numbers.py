"""Bounds of numbers that the grammar library can hold to: it computes with 64-bit floats and integers."""

import math
from typing import Any

_LARGEST = 9_223_372_036_854_774_784
"""The largest 64-bit float below 2**63."""
_LARGEST_FLOAT = 1e18
"""The library counts the digits of a float's whole part in 64 bits."""
_SMALLEST_FRACTION = 1e-30
_LARGEST_MULTIPLE = 20_000
"""The expression for multiples has a state for each remainder."""


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def lowest_and_highest(schema: dict[str, Any], *, is_integer: bool) -> dict[str, int | float]:
    """Return the bounds of a schema as `minimum`, `maximum`, `exclusiveMinimum` and `exclusiveMaximum`.

    A bound that a float can't represent is moved inwards to the next one that it can.
    """
    # Draft 4 has booleans that make the other bound exclusive.
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if isinstance(above, bool):
        low, above = (None, low) if above else (low, None)
    if isinstance(below, bool):
        high, below = (None, high) if below else (high, None)
    if is_integer:
        lows = [*([math.ceil(low)] if low is not None else []), *([math.floor(above) + 1] if above is not None else [])]
        highs = [
            *([math.floor(high)] if high is not None else []),
            *([math.ceil(below) - 1] if below is not None else []),
        ]
        return {
            **({"minimum": _round_up(max(lows))} if lows else {}),
            **({"maximum": -_round_up(-min(highs))} if highs else {}),
        }
    bounds = {
        "minimum": _float_up(low),
        "maximum": _float_down(high),
        "exclusiveMinimum": _float_up(above),
        "exclusiveMaximum": _float_down(below),
    }
    return {name: bound for name, bound in bounds.items() if bound is not None}


def is_too_far(bound: float, *, is_integer: bool, is_lower: bool) -> bool:
    """Return whether the grammar library can't compute with a bound: it is beyond 64 bits, or all that it allows is."""
    if (bound if is_lower else -bound) >= _LARGEST:
        return True
    return abs(bound) > _LARGEST_FLOAT and (not is_integer or not -(2**63) <= bound < 2**63)


def holds_multiples_of(divisor: float, *, is_integer: bool) -> bool:
    """Return whether the grammar library can hold to this `multipleOf`."""
    if divisor <= 0:
        return False
    scaled, num_digits = float(divisor), 0
    while scaled % 1 and num_digits < 20:  # as the library finds the digits behind the point
        scaled *= 10
        num_digits += 1
    return not scaled % 1 and scaled <= _LARGEST_MULTIPLE and (not is_integer or num_digits < 10)


def _round_up(bound: int) -> int:
    """Return the smallest integer from `bound` on that a 64-bit float represents, within 64 bits."""
    if bound <= -_LARGEST:
        return -_LARGEST
    if bound >= _LARGEST:
        return _LARGEST
    rounded = int(float(bound))
    return rounded if rounded >= bound else int(math.nextafter(float(bound), math.inf))


def _float_up(bound: float | None) -> float | None:
    if bound is None:
        return None
    if abs(bound) >= 2**53:
        return max(-_LARGEST_FLOAT, float(_round_up(math.ceil(bound))))
    if 0 < bound < _SMALLEST_FRACTION:
        return _SMALLEST_FRACTION
    return 0.0 if -_SMALLEST_FRACTION < bound < 0 else bound


def _float_down(bound: float | None) -> float | None:
    up = _float_up(None if bound is None else -bound)
    return None if up is None else -up
