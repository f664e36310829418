"""Measurements are stored and read again."""

from pathlib import Path

import pytest
from results import Facts, Limits, Rate, Results, Shape, Speeds, load_results, save_results


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    speeds = Speeds(Shape(1, 2, True), [Rate("LLMOS", "decode_1", 0, 1.5)], {"LLMOS": Facts("1")}, {"vLLM": "failed"})
    results = Results(threads=2, limits=Limits(1.0, 2.0, 3.0, "x"), speeds={"small": speeds}, first_token={"a": [0.5]})
    save_results(results, tmp_path / "new" / "results.json")
    assert load_results(tmp_path / "new" / "results.json") == results


def test_nothing_measured_yet_is_empty(tmp_path: Path) -> None:
    assert load_results(tmp_path / "results.json") == Results()


def test_results_of_another_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"speculation": {"gain": 2.0}}')
    with pytest.raises(SystemExit, match=r"another version of this script .* Delete it"):
        load_results(tmp_path / "results.json")
