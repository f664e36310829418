"""Recipes: TOML in, checked operators out, and one JSON for one meaning."""

import pytest

from llmos.core.errors import BadRequest
from llmos.data.operators.recipe import make_recipe, read_recipe


def test_the_operators_of_a_recipe_have_an_order_and_all_their_options():
    recipe = read_recipe('[[operator]]\nname = "exact_duplicates"\n[[operator]]\nname = "sample"\ncount = 3\n')
    assert recipe.as_json == {
        "operators": [
            {"name": "exact_duplicates", "version": 1, "by": "content"},
            {"name": "sample", "version": 1, "count": 3, "share": None, "seed": 0},
        ]
    }
    assert make_recipe(recipe.as_json["operators"]) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The recipe has no operator"),
        ("operator = 1", "The recipe has no operator"),
        ("x", "The recipe isn't TOML: "),
        ('[[operators]]\nname = "sample"', "The recipe has operators; it takes tables [[operator]] only"),
        ("[[operator]]\ncount = 3", "The operator 1 of the recipe has no name. Known: balance, "),
        ('[[operator]]\nname = "normalise"', "There is no operator 'normalise'. Did you mean normalize"),
        ('[[operator]]\nname = "sample"\ncuont = 3', "sample has no option 'cuont'. Did you mean count"),
        ('[[operator]]\nname = "sample"\ncount = 0', "The operator sample: Expected `int` >= 1 - at `$.count`."),
        ('[[operator]]\nname = "sample"\ncount = 1\nversion = 9', "The recipe is for version 9 of sample"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(text, message):
    with pytest.raises(BadRequest) as raised:
        read_recipe(text)
    assert message in raised.value.message
