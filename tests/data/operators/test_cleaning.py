"""Cleaning a version: the new one, the reasons of every row that isn't in it, and nothing else."""

import pytest

from llmos.core.errors import BadRequest
from llmos.data.operators.cleaning import clean
from llmos.data.operators.operator import Context
from llmos.data.operators.recipe import make_recipe
from support.operating import foresee

RECIPE = (
    {"name": "normalize"},
    {"name": "exact_duplicates"},
    {"name": "quality", "min_words": 2},
    {"name": "sample", "share": 1.0},
)
ROWS = ("Hello there ", "Hello there", "one", "", "Good morning", "Good  evening to you")


def run(datasets, version, *operators, **options):
    return clean(datasets, version, make_recipe([*(operators or RECIPE)]), Context(), **options)


def test_every_row_is_there_or_has_a_reason(datasets, write):
    version = write(*ROWS)
    cleaned = run(datasets, version)
    assert cleaned.ref == "notes@2"
    assert cleaned.parents == (version.digest,)
    kept = [row.texts[0] for row in datasets.rows(cleaned)]
    assert kept == ["Hello there", "Good morning", "Good  evening to you"]
    before = {row.id: row.texts[0] for row in datasets.rows(version)}
    changes = {(before[each.id], each.operator, each.reason) for each in datasets.changes(cleaned)}
    assert changes == {
        ("Hello there ", "normalize", "normalized"),
        ("Hello there", "exact_duplicates", "duplicate"),
        ("one", "quality", "too_short"),
        ("", "quality", "too_short"),
    }
    assert cleaned.report == {
        "dropped": {"exact_duplicates": {"duplicate": 1}, "quality": {"too_short": 2}},
        "replaced": {"normalize": {"normalized": 1}},
    }


def test_the_same_version_and_recipe_are_the_same_digest(datasets, write):
    version = write(*ROWS)
    assert run(datasets, version).digest == run(datasets, version, name="again").digest
    assert run(datasets, version, {"name": "quality", "min_words": 2}).digest != run(datasets, version).digest


def test_nothing_is_kept_where_no_row_is_left(datasets, store, write):
    version = write(*ROWS)
    blobs = set(store.digests())
    with pytest.raises(BadRequest, match="No row is left for notes"):
        run(datasets, version, {"name": "quality", "min_words": 99})
    assert set(store.digests()) == blobs
    assert datasets.resolve("notes") == version


def test_progress_counts_the_rows(datasets, write):
    seen = []
    run(datasets, write(*ROWS), progress=lambda *each: seen.append(each))
    assert seen == [("rows", 0, 6), ("rows", 6, 6)]


def test_a_forecast_says_what_a_recipe_would_do():
    found = foresee(ROWS, *RECIPE)
    assert (found.num_rows, found.num_kept, found.num_changed) == (6, 3, 1)
    assert found.dropped == {("exact_duplicates", "duplicate"): 1, ("quality", "too_short"): 2}
    assert [each.text for each in found.examples["quality", "too_short"]] == ["one", ""]
    assert found.examples["quality", "too_short"][0].detail == "1 word; the least is 2"
