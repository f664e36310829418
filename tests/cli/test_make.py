"""`llmos quantize`: a model of its own, the same again for the same recipe, one line for what can't be."""

import json

import pytest

from support.tiny_models import make_tiny_model

WIDE = "llama-tied-wide"


@pytest.fixture
def tiny(cli, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_model(WIDE, folder)
    assert cli("import", str(folder), "--name", "tiny").status == 0
    return cli


def test_a_quantized_version_is_a_model_of_its_own(tiny):
    outcome = tiny("quantize", "tiny", "--scheme", "minmax", "--bits", "3", "--group", "32")
    assert outcome.status == 0
    assert outcome.out.startswith("tiny-minmax3-g32@1 is made from tiny@1: minmax 3 bits")
    facts = json.loads(tiny("show", "tiny-minmax3-g32", "--json").out)
    assert facts["quantization"] == "minmax 3 bits"
    again = tiny("quantize", "tiny", "--scheme", "minmax", "--bits", "3", "--group", "32")
    assert again.out.startswith("tiny-minmax3-g32@1 was made from tiny@1 by this recipe before")


def test_json_has_the_recipe_with_its_defaults(tiny):
    made = json.loads(tiny("quantize", "tiny", "--scheme", "gptq", "--texts", "4", "--length", "32", "--json").out)
    assert made["version"] == "tiny-gptq4@1"
    assert made["recipe"]["options"] == {"bits": 4, "calibration": "own", "length": 32, "seed": 0, "texts": 4}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody", "--scheme", "q8_0"), "There is no model 'nobody'"),
        (("tiny@7", "--scheme", "q8_0"), "tiny has no such version. It has tiny@1."),
        (("tiny", "--scheme", "gptk"), "Did you mean gptq?"),
        (("tiny", "--scheme", "minmax", "--bits", "9"), "bits is 9; minmax takes a whole number from 2 to 8."),
        (("tiny", "--scheme", "minmax", "--group", "20"), "A group of 20 doesn't divide the 96 values"),
        (("tiny", "--scheme", "q8_0", "--name", "tiny"), "The name tiny is taken"),
        (("tiny", "--scheme", "q8_0", "--name", "a b"), "'a b' is not a valid name for a model"),
        (("tiny", "--scheme", "q8_0", "--name", ""), "'' is not a valid name for a model"),
        (("tiny", "--scheme", "gptq", "--calibration", "/no/such/text"), "The text /no/such/text can't be read"),
    ],
)
def test_what_can_not_be_is_one_line_and_status_2(tiny, home, arguments, message):
    outcome = tiny("quantize", *arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not list((home / "store" / "incoming").glob("*"))


def test_what_it_costs_is_measured_at_once(cli, tmp_path, monkeypatch):
    from llmos.models.cards import measure as measuring
    from support.tiny_folders import write_folder

    short = measuring.Extent(num_windows=1, repeats=1, layer_texts=1, layer_tokens=16, streams=2)
    measure = measuring.measure
    monkeypatch.setattr(measuring, "measure", lambda *each: measure(*each, extent=short))
    assert cli("import", str(write_folder(tmp_path / "bytes")), "--name", "bytes").status == 0
    outcome = cli("quantize", "bytes", "--scheme", "q4_0")
    assert outcome.status == 0, outcome.err
    assert "Against bytes@1: " in outcome.out
    assert "More: llmos card bytes-q4_0@1" in outcome.out
    card = json.loads(cli("card", "bytes-q4_0", "--json").out)
    assert card["recipe"]["scheme"] == "q4_0"
    assert card["comparison"]["kl_mean"] > 0

    def interrupted(*each):
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "measure", interrupted)
    ended = cli("quantize", "bytes", "--scheme", "q8_0")
    assert ended.status == 130
    assert "bytes-q8_0@1 is made. To measure its card: llmos card bytes-q8_0@1 --measure" in ended.err
    assert cli("show", "bytes-q8_0").status == 0


def test_without_a_card_where_that_is_asked_for(tiny):
    assert tiny("quantize", "tiny", "--scheme", "q8_0", "--no-card").status == 0
    assert "has no card yet" in tiny("card", "tiny-q8_0").err
