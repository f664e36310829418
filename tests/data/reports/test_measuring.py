"""Reports: what they count, measure and show of versions that were imported and cleaned."""

import json
import re

import pytest

from llmos.core.errors import BadRequest, NotFound
from llmos.data.datasets import segments
from llmos.data.datasets.folder import find_layout
from llmos.data.datasets.importing import import_files
from llmos.data.datasets.records import ImportOptions
from llmos.data.operators.cleaning import clean
from llmos.data.operators.operator import Context, Span
from llmos.data.operators.recipe import make_recipe
from llmos.data.reports import measuring
from llmos.data.reports.measuring import ReportOptions, make_report
from support.operating import text_row

RECIPE = [{"name": "exact_duplicates"}, {"name": "quality", "min_words": 4}]


def find_addresses(kinds):
    return lambda text: [Span(match.start(), match.end(), "email") for match in re.finditer(r"\S+@\S+", text)]


CONTEXT = Context(personal_data=find_addresses, token_counter=lambda model: lambda content: len(content.text.split()))


def report(datasets, reference="notes", **options):
    return make_report(datasets, reference, ReportOptions(**options), CONTEXT)


@pytest.fixture
def imported(datasets, tmp_path):
    """Notes in two languages, one of them twice, one too short; and two lines that are no rows."""
    lines = [{"text": f"This is the note {number} of ann@example.com", "lang": "en"} for number in range(6)]
    lines += [{"text": "Das ist eine Notiz.", "lang": "de"}] * 2 + [{"text": "ann@example.com", "lang": "en"}]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"text": 7\n["bob@example.com"]\n'
    path = tmp_path / "notes.jsonl"
    path.write_text(text)
    options = ImportOptions(mapping={"language": "lang"}, on_error="skip", consent="train")
    return import_files(datasets, "notes", find_layout(path), options, source="import:notes.jsonl", actor="ann")


@pytest.fixture
def cleaned(datasets, imported):
    return clean(datasets, imported, make_recipe(RECIPE), CONTEXT, actor="bob")


def counts_of(found, column):
    return {each.value: each.num_rows for each in found.counts[column].values}


@pytest.mark.usefixtures("imported")
def test_rows_are_counted_by_their_columns(datasets):
    found = report(datasets)
    assert (found.version, found.kind, found.num_rows) == ("notes@1", "text", 9)
    assert counts_of(found, "file") == {"notes.jsonl": 9}
    assert counts_of(found, "language") == {"en": 7, "de": 2}
    assert counts_of(found, "consent") == {"train": 9}
    assert counts_of(found, "split") == {None: 9}
    assert (found.num_repeated, found.num_with_subject) == (1, 0)


def test_many_values_of_a_column_are_counted_together(datasets, write):
    write(*(text_row(f"text {number}", language=f"l{number % 50}", subject="s") for number in range(100)))
    found = report(datasets)
    assert len(found.counts["language"].values) == 20
    assert found.counts["language"].num_others == 60
    assert found.num_with_subject == 100


@pytest.mark.usefixtures("imported")
def test_lengths_are_measured_in_characters_and_in_tokens_of_a_model(datasets):
    (characters,) = report(datasets).lengths
    assert (characters.unit, characters.least, characters.most, sum(characters.counts)) == ("characters", 15, 37, 9)
    _, tokens = report(datasets, tokens="smollm2").lengths
    assert (tokens.unit, tokens.model, tokens.least, tokens.most) == ("tokens", "smollm2", 1, 7)


@pytest.mark.thorough
def test_a_large_version_is_measured_by_a_random_part_the_same_each_time(datasets, write, monkeypatch):
    monkeypatch.setattr(segments, "TARGET_BYTES", 500)
    monkeypatch.setattr(measuring, "MAX_MEASURED", 100)
    monkeypatch.setattr(measuring, "_MAX_SEGMENTS", 8)
    version = write(*(f"text {number}" for number in range(1000)))
    assert len(version.segments) > 30
    found = report(datasets, samples=3)
    assert 50 < found.num_measured < 150
    assert sum(found.lengths[0].counts) == found.num_measured
    assert found.samples == report(datasets, samples=3).samples
    assert len({row.id for row in found.samples}) == 3


def test_a_few_long_rows_are_measured_by_one_at_least(datasets, write, monkeypatch):
    monkeypatch.setattr(measuring, "_MAX_MEASURED_BYTES", 1)
    write("a text", "another text")
    assert report(datasets).num_measured == 1


@pytest.mark.usefixtures("cleaned")
def test_the_rows_that_cleaning_left_out_have_reasons_and_examples(datasets):
    found = report(datasets)
    assert [(each.operator, each.reason, each.num_rows) for each in found.left_out] == [
        ("exact_duplicates", "duplicate", 1),
        ("quality", "too_short", 1),
    ]
    assert [row.text for each in found.left_out for row in each.examples] == ["Das ist eine Notiz.", "ann@example.com"]
    assert found.left_out[1].examples[0].detail == "3 words; the least is 4"


def test_lineage_leads_to_the_import_and_its_problems(datasets, imported, cleaned):
    made, first = report(datasets).lineage
    assert (made.version, made.num_rows, made.made_by, made.parents) == ("notes@2", 7, "bob", [imported.digest])
    assert [each["name"] for each in made.operators] == ["exact_duplicates", "quality"]
    assert made.num_left_out == {"exact_duplicates": 1, "quality": 1}
    assert (first.version, first.source, first.imported["skipped"]) == ("notes@1", "import:notes.jsonl", 2)
    assert first.imported["problems"][1] == "notes.jsonl:11: It is no JSON object."
    datasets.remove("notes@1")
    made, first = report(datasets).lineage
    assert (first.digest, first.version) == (imported.digest, None)
    assert [row.text for each in report(datasets).left_out for row in each.examples] == ["", ""]
    assert made.digest == cleaned.digest


@pytest.mark.usefixtures("cleaned")
def test_no_personal_data_is_left_in_a_masked_report(datasets):
    plain, masked = report(datasets), report(datasets, mask=True)
    assert "ann@example.com" in repr(plain.samples) + repr(plain.left_out)
    assert "example.com" not in repr(masked)
    assert "[EMAIL]" in repr(masked.samples)
    assert masked.left_out[1].examples[0].text == "[EMAIL]"
    assert [row.id for row in masked.samples] == [row.id for row in plain.samples]
    assert masked.is_masked


@pytest.mark.usefixtures("imported")
def test_a_report_of_nothing_or_by_nothing_is_refused(datasets):
    with pytest.raises(NotFound, match="nots"):
        report(datasets, "nots")
    with pytest.raises(BadRequest, match="can't be counted here"):
        make_report(datasets, "notes", ReportOptions(tokens="smollm2"), Context())
