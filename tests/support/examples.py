"""The examples of property tests: as many as each asks for, but few in the fast run, and found without delay."""

MAX_EXAMPLES_FAST = 6

is_fast = False
"""Set by conftest.py before the tests are imported."""


def examples(number: int, *, fast: int = MAX_EXAMPLES_FAST) -> int:
    """Return `number`, or at most `fast` in the fast run."""
    return min(number, fast) if is_fast else number


def try_no_constants_of_ours() -> None:
    """Let hypothesis not read our modules for constants to try, which takes seconds before the first test.

    The constants that it knows itself, and those of the strategies, stay.
    """
    from hypothesis.internal.conjecture import providers

    providers.is_local_module_file = lambda path: False
