"""A recipe contains everything that its result depends on, and refuses unknown options by name."""

import pytest

from llmos.core.errors import BadRequest
from llmos.engine.compression.recipe import Recipe


def test_defaults_are_filled_in_and_absent_options_stay_absent():
    recipe = Recipe.of("quantize", "gptq", {"bits": None, "group": None, "seed": 3})
    assert recipe.canonical() == {
        "kind": "quantize",
        "scheme": "gptq",
        "options": {"bits": 4, "calibration": "own", "length": 256, "seed": 3, "texts": 32},
    }


@pytest.mark.parametrize(
    ("scheme", "options", "label"),
    [
        ("gptq", {}, "gptq4"),
        ("gptq", {"bits": 3, "group": 64}, "gptq3-g64"),
        ("minmax", {"bits": 2, "per": "tensor"}, "minmax2-tensor"),
        ("q8_0", {}, "q8_0"),
    ],
)
def test_a_label_has_the_scheme_and_the_size(scheme, options, label):
    assert Recipe.of("quantize", scheme, options).label() == label


@pytest.mark.parametrize(
    ("scheme", "options", "message"),
    [
        ("gptk", {}, "There is no scheme 'gptk' to quantize with. Did you mean gptq?"),
        ("huffman", {}, "Available: gptq, awq, minmax, absmax, q8_0, q4_1, q4_0."),
        ("minmax", {"bits": 9}, "bits is 9; minmax takes a whole number from 2 to 8."),
        ("minmax", {"bits": 1}, "bits is 1; minmax takes a whole number from 2 to 8."),
        ("minmax", {"bits": True}, "bits is True"),
        ("minmax", {"bits": 4.5}, "bits is 4.5"),
        ("minmax", {"bits": "4"}, "bits is '4'"),
        ("absmax", {"bits": 5}, "bits is 5; absmax takes one of 4, 8."),
        ("minmax", {"per": "row"}, "per is 'row'; minmax takes one of tensor, channel, group."),
        ("gptq", {"seed": -1}, "seed is -1; gptq takes a whole number from 0 to 2,147,483,647."),
        ("gptq", {"per": "group"}, "gptq has no option 'per'."),
        ("gptq", {"lenght": 10}, "Did you mean length?"),
        ("q8_0", {"bits": 8}, "q8_0 has no option 'bits'. It takes none."),
        ("gptq", {"calibration": "/home/me/text"}, 'takes "own", or the sha256: digest'),
    ],
)
def test_an_unknown_name_or_value_is_refused_with_a_hint(scheme, options, message):
    with pytest.raises(BadRequest) as error:
        Recipe.of("quantize", scheme, options)
    assert message in error.value.message
