"""Figures: found in all their forms, compared by value, and marked where no source has them."""

import pytest

from llmos.applications.figures import figures_in, mark, unverified


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("We had 1,200 users.", ["1,200"]),
        ("It grew 12 %, then 5% and 7 percent.", ["12 %", "5%", "7 percent"]),
        ("Twelve percent of two million people, and one of them.", ["Twelve percent", "two million"]),
        ("On 1 May 2024, May 1st, 2024, 2024-05-01, 01.05.2024 and in May 2024.",
         ["1 May 2024", "May 1st, 2024", "2024-05-01", "01.05.2024", "May 2024"]),
        ("COVID-19, an H200 and v1.2 are names; 5-10 is a range, 3rd a place.", ["5", "10", "3rd"]),
        ("1. First\n2) Second\n- 3. Third\n4 apples", ["4"]),
        ("It costs €1.000,50 or $2.50.", ["1.000,50", "2.50"]),
        ("No figure at all.", []),
    ],
)  # fmt: skip
def test_the_figures_of_a_text(text: str, found: list[str]) -> None:
    assert [each.text for each in figures_in(text)] == found
    assert all(text[slice(*each.span)] == each.text for each in figures_in(text))


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("1200 users", "1,200 users"),
        ("2 million people", "2,000,000 people"),
        ("two million people", "2 million people"),
        ("12 percent", "12%"),
        ("May 1, 2024", "on 2024-05-01"),
        ("in May 2024", "on 1 May 2024"),
        ("in 2024", "on 1 May 2024"),
        ("1.5 km", "1,5 km"),
        ("1.000 Euro", "1000 Euro"),
    ],
)
def test_a_figure_is_verified_in_another_form(text: str, source: str) -> None:
    assert unverified(text, [source]) == []


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("13 users", "12 users"),
        ("12 %", "12 users"),
        ("2 May 2024", "1 May 2024"),
        ("1 May 2024", "May 2024"),
        ("2 million", "2 users"),
        ("12", ""),
    ],
)
def test_a_figure_that_no_source_has_is_unverified(text: str, source: str) -> None:
    assert [each.text for each in unverified(text, [source])] == [text.split(" users")[0]]


def test_marks_stand_behind_the_figures_once() -> None:
    text = "We grew 12 % in 2023, to 1,300 users."
    marked = mark(text, unverified(text, ["12 percent"]))
    assert marked == "We grew 12 % in 2023 [unverified], to 1,300 [unverified] users."
    assert mark(marked, unverified(marked, ["12 percent"])) == marked


@pytest.mark.parametrize("text", ["\n" * 200_000, "1," * 20_000, "1 " * 20_000, "May " * 20_000, "9" * 4_000])
def test_texts_of_one_thing_only_take_no_time_of_their_own(text: str) -> None:
    figures_in(text)
