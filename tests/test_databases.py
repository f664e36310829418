"""What the whole suite has asked its databases. Runs last, and only where all of it runs."""

from support.asked import Asked
from support.databases import KINDS


def test_every_function_that_asks_a_database_was_run_on_every_kind(asked: Asked) -> None:
    assert asked.only_on_some(KINDS) == []
