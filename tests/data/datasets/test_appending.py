"""Appending rows: the next version keeps what was there, and has each content once."""

import pytest

from llmos.core.errors import BadRequest, Conflict
from llmos.data.datasets.appending import append_rows
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.rows import make_row

ROWS = [make_row("text", {"text": text}, origin=f"answer-{text}") for text in ("one", "two", "three")]


def test_the_next_version_has_what_was_there_and_the_new_rows(datasets: ProjectDatasets) -> None:
    first = append_rows(datasets, "kept", ROWS[:1], source="answers:one", actor="user:ann")
    second = append_rows(datasets, "kept", ROWS[:2], source="answers:two")
    assert (first.ref, first.source, first.parents, first.made_by) == ("kept@1", "answers:one", (), "user:ann")
    assert (second.ref, second.parents, second.report["appended"]) == ("kept@2", (first.digest,), 1)
    assert [*datasets.rows(second)] == ROWS[:2]


def test_rows_that_are_there_already_make_no_version(datasets: ProjectDatasets) -> None:
    append_rows(datasets, "kept", ROWS[:2], source="x")
    with pytest.raises(Conflict, match="kept@1 has these rows already"):
        append_rows(datasets, "kept", ROWS[:1], source="x")
    assert len(datasets.list()) == 1


def test_rows_of_another_kind_and_none_are_refused(datasets: ProjectDatasets) -> None:
    append_rows(datasets, "kept", ROWS[:1], source="x")
    with pytest.raises(Conflict, match="Choose another name"):
        append_rows(datasets, "kept", [make_row("case", {"input": "a"})], source="x")
    with pytest.raises(BadRequest):
        append_rows(datasets, "kept", [], source="x")
