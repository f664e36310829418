"""The README's table of recipes: every recipe that it names exists, and it goes where the markers are."""

import pytest

import recipes
from support.made_cards import CARD, card


def test_there_are_many_recipes_of_both_kinds():
    kinds = [recipe.kind for recipe in recipes.RECIPES.values()]
    assert kinds.count("quantize") >= 6
    assert kinds.count("prune") >= 3
    assert {"q8_0", "gptq4", "awq4", "wanda50", "layers2"} <= set(recipes.RECIPES)


def test_a_row_has_quality_size_and_speed():
    lines = recipes.table([recipes.Row("gptq4", CARD)])
    assert lines[-2].startswith("| tiny@1, bfloat16 | 80 MB | 20.00 |")
    assert lines[-1] == ("| `gptq4` | 40 MB | 21.50 | +7.5 % ± 0.4 | 91.0 % | 0.0500 | 90 MB | 0.80 × | 1.25 × |")


def test_what_was_not_measured_is_left_empty():
    bare = card(quality=None, comparison=None, memory=None, prefill=None, decode=None)
    assert recipes.line(recipes.Row("gptq4", bare)) == "| `gptq4` | 40 MB |  |  |  |  |  |  |  |"


@pytest.mark.parametrize("markers", [recipes.BFLOAT16, recipes.AS_IT_IS])
def test_the_table_goes_between_its_markers(tmp_path, monkeypatch, markers):
    page = tmp_path / "page.md"
    both = [f"{begin}\nold\n{end}\n" for begin, end in (recipes.AS_IT_IS, recipes.BFLOAT16)]
    page.write_text("\n".join(both))
    monkeypatch.setattr(recipes, "PAGES", (page,))
    recipes.check_pages(*markers)
    recipes.write(["| new |"], *markers)
    assert page.read_text() == "\n".join(
        each.replace("old", "| new |") if markers[0] in each else each for each in both
    )


def test_a_page_without_the_markers_is_named_before_anything_is_measured(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    monkeypatch.setattr(recipes, "PAGES", (page,))
    with pytest.raises(SystemExit, match="has no place for the table"):
        recipes.check_pages(*recipes.BFLOAT16)
