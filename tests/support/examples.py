"""The number of examples of property tests: what each asks for, but few in the fast run."""

MAX_EXAMPLES_FAST = 20

is_fast = False
"""Set by conftest.py before the tests are imported."""


def examples(number: int, *, fast: int = MAX_EXAMPLES_FAST) -> int:
    """Return `number`, or at most `fast` in the fast run."""
    return min(number, fast) if is_fast else number
