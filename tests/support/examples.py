"""The number of examples of property tests: what each asks for, but few in the fast run."""

MAX_EXAMPLES_FAST = 20

is_fast = False
"""Set by conftest.py before the tests are imported."""


def examples(number: int) -> int:
    """Return `number`, or at most 20 in the fast run."""
    return min(number, MAX_EXAMPLES_FAST) if is_fast else number
