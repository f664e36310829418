"""`llmos prune`: a model of its own, really smaller, the same again for the same recipe, one line for what can't be."""

import json

import pytest

from support.tiny_models import make_tiny_model

WIDE = "llama-tied-wide"
SMALL_TEXT = ("--texts", "4", "--length", "32")


@pytest.fixture
def tiny(cli, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_model(WIDE, folder)
    assert cli("import", str(folder), "--name", "tiny").status == 0
    return cli


def test_a_sparse_version_is_a_model_of_its_own_and_smaller(tiny):
    outcome = tiny("prune", "tiny", "--scheme", "wanda", "--pattern", "2:4", *SMALL_TEXT)
    assert outcome.status == 0
    assert outcome.out.startswith("tiny-wanda2of4@1 is made from tiny@1: sparse F32")
    before, after = (json.loads(tiny("show", name, "--json").out) for name in ("tiny", "tiny-wanda2of4"))
    assert after["size_bytes"] < 0.7 * before["size_bytes"]
    again = tiny("prune", "tiny", "--scheme", "wanda", "--pattern", "2:4", *SMALL_TEXT)
    assert again.out.startswith("tiny-wanda2of4@1 was made from tiny@1 by this recipe before")


def test_a_structured_version_is_called_after_what_is_gone(tiny):
    made = json.loads(
        tiny(
            *("prune", "tiny", "--scheme", "structured", "--layers", "1", "--ffn-share", "0.4", "--kv-heads", "1"),
            *(*SMALL_TEXT, "--json"),
        ).out
    )
    assert made["version"] == "tiny-layers1-ffn40-kv1@1"
    assert made["recipe"]["options"] == {
        "calibration": "own", "ffn_share": 0.4, "kv_heads": 1, "layers": 1, "length": 32, "seed": 0, "texts": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--scheme", "wand"), "There is no scheme 'wand' to prune with. Did you mean wanda?"),
        (("--scheme", "magnitude", "--sparsity", "1"), "sparsity is 1.0; magnitude takes a number from 0.01 to 0.99."),
        (("--scheme", "magnitude", "--sparsity", "-0.5"), "sparsity is -0.5; magnitude takes a number from 0.01"),
        (("--scheme", "magnitude", "--sparsity", "nan"), "sparsity is nan; magnitude takes a number from 0.01"),
        (("--scheme", "wanda", "--pattern", "3:4"), "pattern is '3:4'; wanda takes one of 2:4."),
        (("--scheme", "wanda", "--pattern", "2:4", "--sparsity", "0.7"), "The pattern 2:4 is a sparsity of 0.5."),
        (("--scheme", "magnitude", "--layers", "1"), "magnitude has no option 'layers'."),
        (("--scheme", "structured"), "say how many with --layers N, --ffn-share SHARE or --kv-heads N."),
        (("--scheme", "structured", "--layers", "2"), "layers is 2, and this model has 2 layers"),
        (("--scheme", "structured", "--layers", "-1"), "layers is -1; structured takes a whole number from 1"),
        (("--scheme", "structured", "--kv-heads", "2"), "kv_heads is 2, and this model has 2 key-value heads"),
        (("--scheme", "structured", "--ffn-share", "1"), "ffn_share is 1.0; structured takes a number from 0.001"),
        (
            ("--scheme", "structured", "--ffn-share", "0.01"),
            "160 channels, which are pruned 32 at a time. Use a larger share.",
        ),
        (("--scheme", "structured", "--layers", "1", "--calibration", "/no"), "The text /no can't be read"),
    ],
)
def test_what_can_not_be_is_one_line_and_status_2(tiny, home, arguments, message):
    outcome = tiny("prune", "tiny", *arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not list((home / "store" / "incoming").glob("*"))
