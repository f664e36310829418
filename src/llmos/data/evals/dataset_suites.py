"""Suites of datasets: the rows of a dataset of the kind case are the cases.

{"input": "What is the capital of France?", "expected": "Paris"}                    its text equals
{"input": "How long is the guarantee?", "expected": {"contains": "two years"}}      its checks
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from llmos.core.errors import BadRequest
from llmos.data.datasets.contents import CaseContent
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.rows import Row
from llmos.evals.suite_reading import MAX_CASES, parse_suite
from llmos.evals.suites import Suite

_ID_DIGITS = 12


class DatasetSuite(NamedTuple):
    suite: Suite
    source: str
    """The version of the dataset."""
    subjects: frozenset[str]
    """HMACs of the persons whose data its rows have."""


def read_dataset(datasets: ProjectDatasets, name: str) -> DatasetSuite:
    """Return the suite that a dataset is. Raises NotFound, and BadRequest naming the row that isn't a case."""
    version = datasets.resolve(name)
    subjects: set[str] = set()

    def rows() -> Iterator[Row]:
        for row in datasets.rows(version):
            if row.subject:
                subjects.add(row.subject)
            yield row

    suite = parse_suite(suite_document(rows(), version.ref), version.ref)
    return DatasetSuite(suite, version.ref, frozenset(subjects))


def suite_document(rows: Iterable[Row], name: str) -> dict[str, Any]:
    """Return the document of a suite. Raises BadRequest naming the row that isn't a case."""
    cases = []
    for row in rows:
        cases.append(_case(row))
        if len(cases) > MAX_CASES:
            raise BadRequest(f"{name} has more than {MAX_CASES:,} cases. Take a sample of them.")
    if not cases:
        raise BadRequest(f"{name} has no rows. Import some with `input` and `expected`.")
    return {"name": name.partition("@")[0], "cases": cases}


def _case(row: Row) -> dict[str, Any]:
    where = f"The row {row.id[:_ID_DIGITS]} ({row.origin or 'no origin'})"
    if row.kind != "case":
        raise BadRequest(
            f"{where} is of the kind {row.kind}, and no case. Import a dataset of the kind case:"
            ' {"input": "the question", "expected": "the answer"}, or checks as `expected`.'
        )
    content: CaseContent = row.content
    expected = content.expected
    if isinstance(expected, dict):
        checks: dict[str, Any] = {"expect": expected}
    elif isinstance(expected, str):
        checks = {"expected": expected, "expect": {"equals": expected}}
    else:
        raise BadRequest(
            f'{where} has no expectation that can be checked. `expected` is a text, or {{"contains": "…"}}.'
        )
    return {"id": row.id[:_ID_DIGITS], "input": msgspec.to_builtins(content.input), **checks}
