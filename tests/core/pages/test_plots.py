"""Plots: figures of any numbers."""

import pytest

from llmos.core.pages.plots import Bars, Dot, Line, bars, lines, scatter


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e9])
def test_plots_handle_numbers_of_any_size(size):
    dots = [Dot("one", size, size, True), Dot("two", size, size * 1e5, False), Dot("three", size, size, False)]
    assert "nan" not in scatter("a", dots, x_label="x", y_label="y", x_text=str)
    assert "nan" not in lines("a", [Line("one", [(0, 0.0), (1, size)])], x_label="x", removed=[5])
    assert "nan" not in bars("a", [Bars("one", [0.0, 1.0])], ["low", "high"], x_label="x")
    assert "nan" not in lines("a", [Line("one", [(0, 0.0)])], x_label="x")
