"""Coverage of the database kinds by the whole suite. Runs last, and only in a run of the whole suite."""

from support.databases import KINDS
from support.query_coverage import QueryCoverage


def test_every_function_with_statements_ran_on_every_kind_of_database(query_coverage: QueryCoverage) -> None:
    assert query_coverage.find_missing(KINDS) == []
