"""Appending rows: the next version keeps what was there, and has each content once."""

from collections.abc import Iterator

import pytest

from llmos.core.errors import BadRequest, Conflict, NewerVersion
from llmos.data.datasets.appending import append_rows
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.rows import Row, make_row
from llmos.data.datasets.versions import DatasetVersion

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


def test_another_server_that_appends_meanwhile_loses_no_row(
    datasets: ProjectDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_rows(datasets, "kept", ROWS[:1], source="x")
    rows_of = ProjectDatasets.rows

    def rows_while_another_appends(self: ProjectDatasets, version: DatasetVersion) -> Iterator[Row]:
        if version.number == 1 and self.last_number("kept") == 1:
            with datasets.writing("kept", "text", source="answers:two", parents=[version], actor="user:bob") as other:
                for row in [*rows_of(self, version), ROWS[1]]:
                    other.add(row)
                other.finish()
        return rows_of(self, version)

    monkeypatch.setattr(ProjectDatasets, "rows", rows_while_another_appends)
    made = append_rows(datasets, "kept", ROWS[2:], source="answers:three")
    assert made.ref == "kept@3"
    assert [*rows_of(datasets, made)] == ROWS


def test_a_version_that_was_begun_before_another_one_says_what_that_is(datasets: ProjectDatasets) -> None:
    first = append_rows(datasets, "kept", ROWS[:1], source="x")
    append_rows(datasets, "kept", ROWS[1:2], source="answers:two", actor="user:bob")
    with datasets.writing("kept", "text", source="y", parents=[first], last_number=1) as writer:
        writer.add(ROWS[2])
        with pytest.raises(NewerVersion, match="kept@2 was made by user:bob, with 2 rows, from answers:two"):
            writer.finish()
    assert [version.number for version in datasets.list()] == [1, 2]
