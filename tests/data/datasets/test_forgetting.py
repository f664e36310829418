"""Forgetting: the rows of a person are in no version of the project any more, and in no blob."""

import pytest

from llmos.data.datasets import segments
from llmos.data.datasets.forgetting import forget_rows
from support.operating import text_row

ANN, BOB = "a" * 64, "b" * 64


@pytest.fixture
def rows():
    return [text_row(f"secret of {n}", subject=ANN if n == 17 else BOB if n % 2 else None) for n in range(60)]


def test_the_rows_of_a_person_are_taken_out_of_every_version(all_datasets, datasets, store, write, rows, monkeypatch):
    monkeypatch.setattr(segments, "TARGET_BYTES", 300)
    first, second = write(*rows), write(*rows[10:])
    untouched = write(rows[0], name="other")
    gone = forget_rows(all_datasets, "owner", ANN)
    assert gone == {"notes@1": 1, "notes@2": 1}
    for before in (first, second):
        after = datasets.resolve(before.ref)
        left = list(datasets.rows(after))
        assert (after.digest, after.num_rows, after.report["erased"]) == (before.digest, before.num_rows - 1, 1)
        assert len(left) == after.num_rows
        assert ANN not in {row.subject for row in left}
        assert datasets.head(after, 1, skip=after.num_rows - 1) == [rows[-1]]
        assert after.content_bytes == sum(len(row.body) for row in left)
    assert datasets.resolve("other") == untouched
    used = {segment.blob for version in datasets.list() for segment in version.segments}
    assert {digest for digest, _ in store.digests()} == used
    assert forget_rows(all_datasets, "owner", ANN) == {}
    assert write(*rows).ref == "notes@1"
    assert ANN not in {row.subject for row in datasets.rows(datasets.resolve("notes@1"))}


def test_another_projects_rows_stay(all_datasets, datasets, write, rows):
    write(*rows)
    assert forget_rows(all_datasets, "acme", ANN) == {}
    assert len(list(datasets.rows(datasets.resolve("notes")))) == 60


def test_a_version_whose_rows_are_all_gone_is_empty(all_datasets, datasets, write):
    write(text_row("mine", subject=ANN))
    assert forget_rows(all_datasets, "owner", ANN) == {"notes@1": 1}
    assert list(datasets.rows(datasets.resolve("notes@1"))) == []
