"""The output of commands."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmos.cli.output import print_facts, print_json, print_table, readable_count, readable_size, shown

ROWS = [{"name": "a" * 200, "size": 1, "hidden": None}, {"name": "模型", "size": 2, "hidden": [1, 2]}]


def test_a_table_shows_its_columns_and_json_shows_every_field(capsys):
    print_table(ROWS, {"name": "model"})
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines] == ["model", "a" * 200, "模型"], "nothing is folded for a program"
    print_table(ROWS, {"name": "model"}, as_json=True)
    assert json.loads(capsys.readouterr().out) == ROWS


def test_columns_without_headings_are_their_own(capsys):
    print_table([{"context_length": 8192}], ["context_length"])
    assert capsys.readouterr().out.split() == ["context", "length", "8192"]


def test_what_looks_like_markup_is_printed_as_it_is(capsys):
    print_table([{"name": "[red]x[/red]"}], ["name"])
    assert "[red]x[/red]" in capsys.readouterr().out


def test_facts_that_are_not_known_are_left_out(capsys):
    print_facts({"license": None, "family": "llama"})
    assert capsys.readouterr().out.split() == ["family", "llama"]


def test_json_knows_times_and_paths_and_refuses_the_rest(capsys):
    print_json({"at": datetime(2026, 1, 2, tzinfo=UTC), "path": Path("/x"), "模型": 1})
    out = capsys.readouterr().out
    assert "模型" in out
    assert json.loads(out) == {"at": "2026-01-02T00:00:00+00:00", "path": "/x", "模型": 1}
    with pytest.raises(TypeError, match="set has no JSON form"):
        print_json({1, 2})


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (98_362_432, "98.4 MB"), (16 * 10**9, "16.0 GB"), (10**13, "10.0 TB")],
)
def test_sizes_are_decimal(num_bytes, text):
    assert readable_size(num_bytes) == text


@pytest.mark.parametrize(
    ("count", "text"), [(12, "12"), (9824, "9.8 k"), (134_515_008, "134.5 M"), (7 * 10**9, "7.0 B")]
)
def test_counts_are_short(count, text):
    assert readable_count(count) == text


def test_values_are_shown_as_a_person_reads_them():
    assert [shown(value) for value in (None, True, False, [], ["a", None], 3)] == ["–", "yes", "no", "–", "a, –", "3"]
