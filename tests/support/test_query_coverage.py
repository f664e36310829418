"""The check that ends a run of the whole suite: each function of ours ran on every kind of database, in some worker."""

from sqlalchemy import create_engine, text

from support.query_coverage import QueryCoverage


def test_a_function_that_ran_on_one_kind_only_is_missing_on_the_other() -> None:
    coverage = QueryCoverage()
    coverage.add({"sqlite": [["data/files.py", "Files.add"], ["data/files.py", "Files.get"]]})
    coverage.add({"postgresql": [["data/files.py", "Files.get"]]})
    assert coverage.find_missing(("sqlite", "postgresql")) == ["Files.add in data/files.py never ran on postgresql"]


def test_the_functions_of_two_workers_count_together() -> None:
    first, second, both = QueryCoverage(), QueryCoverage(), QueryCoverage()
    first.add({"sqlite": [["data/files.py", "Files.add"]]})
    second.add({"postgresql": [["data/files.py", "Files.add"]]})
    both.add(first.functions())
    both.add(second.functions())
    assert both.find_missing(("sqlite", "postgresql")) == []


def test_statements_from_outside_the_package_are_not_recorded() -> None:
    coverage = QueryCoverage()
    coverage.listen()
    with create_engine("sqlite://").connect() as connection:
        connection.execute(text("SELECT 1"))
    assert coverage.functions() == {}
