"""Measuring cards of tiny byte-level models."""

import pytest

from llmos.core.config import KNOWN_ISAS, load_settings
from llmos.core.errors import BadRequest
from llmos.models import open_registry
from llmos.models.cards.card import from_json, to_json
from llmos.models.cards.cards import Cards
from llmos.models.cards.extent import Extent
from llmos.models.cards.measure import make_card, measure, parent_of
from llmos.models.transfer.transfers import Transfers
from support.tiny_folders import noisy, write_folder

SHORT = Extent(num_windows=2, repeats=2, layer_texts=1, layer_tokens=24, streams=2)
RECIPE = {"kind": "quantize", "scheme": "minmax", "options": {"bits": 8}}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    registry = open_registry(load_settings({"LLMOS_HOME": str(tmp_path_factory.mktemp("home"))}))
    yield registry
    registry.database.close()


@pytest.fixture(scope="module")
def made(registry, tmp_path_factory):
    """Return a function that derives a version of the tiny model with the given name and changes."""
    folders = tmp_path_factory.mktemp("folders")
    parent = Transfers(registry).import_path(write_folder(folders / "tiny"), "tiny")

    def make(name: str, **lost):
        folder = folders / name if (folders / name).exists() else write_folder(folders / name, **lost)
        files = {path.name: path for path in folder.iterdir()}
        return registry.derived.add(name, files, parent=parent, recipe=RECIPE | {"name": name})

    make.parent = parent
    return make


@pytest.fixture(scope="module")
def card(registry, made):
    """The card of a version with a little noise in every matrix."""
    version = made("tiny-noisy", change=noisy(0.05))
    return measure(registry, version, parent_of(registry, version), extent=SHORT)


@pytest.mark.process
def test_a_card_names_the_version_the_parent_and_the_machine(card, made):
    assert (card.version, card.parent, card.parent_digest) == ("tiny-noisy@1", "tiny@1", made.parent.digest)
    assert card.recipe == RECIPE | {"name": "tiny-noisy"}
    assert card.not_measured == {}
    assert card.machine.isa in KNOWN_ISAS
    assert card.text is not None
    assert (card.text.num_tokens, card.text.window) == (2 * 127, 128)


@pytest.mark.process
def test_quality_is_compared_at_each_position(card):
    assert card.quality is not None
    assert card.quality.perplexity > 1
    assert card.comparison is not None
    increase = card.quality.perplexity / card.comparison.perplexity - 1
    assert card.comparison.perplexity_increase == pytest.approx(increase, abs=1e-6)
    assert 0.3 < card.comparison.greedy_agreement < 1
    assert 0 < card.comparison.kl_mean < card.comparison.kl_p99
    assert sum(card.comparison.kl_counts) == card.text.num_tokens
    assert len(card.comparison.kl_edges) == len(card.comparison.kl_counts) + 1


@pytest.mark.process
def test_speed_and_memory_of_both_are_measured(card):
    assert card.memory is not None
    assert card.parent_memory is not None
    assert card.memory.resident_bytes > card.memory.weight_bytes > 0
    for rate, num_tokens in ((card.prefill, 127), (card.decode, 64)):
        assert (rate.num_tokens, len(rate.runs), len(rate.parent_runs)) == (num_tokens, 2, 2)
        assert rate.ratio is not None
        assert rate.ratio > 0


@pytest.mark.process
def test_every_layer_has_an_error(card):
    assert card.layers is not None
    assert [(each.layer, each.parent_layer) for each in card.layers.errors] == [(i, i) for i in range(4)]
    assert card.layers.left_out == ()
    for each in card.layers.errors:
        assert each.weights == pytest.approx(0.05, rel=0.1)
    assert card.layers.embedding == pytest.approx(0.05, rel=0.1)
    hidden = [each.hidden for each in card.layers.errors]
    assert 0 < hidden[0] < hidden[-1] < 1


@pytest.mark.process
def test_a_measured_card_is_stored(card):
    assert from_json(to_json(card)) == card


@pytest.mark.process
def test_the_same_weights_have_no_error(registry, made):
    version = made("tiny-same")
    card = measure(registry, version, made.parent, extent=SHORT)
    assert card.comparison is not None
    assert card.comparison.perplexity_increase == 0
    assert (card.comparison.greedy_agreement, card.comparison.kl_mean, card.comparison.kl_p99) == (1, 0, 0)
    assert {(each.weights, each.hidden) for each in card.layers.errors} == {(0, 0)}


@pytest.mark.process
def test_removed_layers_are_listed(registry, made):
    version = made("tiny-short", layers=[0, 3], change=noisy(0.01))
    card = measure(registry, version, made.parent, extent=SHORT)
    assert card.layers is not None
    assert [each.parent_layer for each in card.layers.errors] == [0, 3]
    assert (card.layers.left_out, card.layers.parent_layers) == ((1, 2), 4)
    assert card.layers.errors[0].hidden < card.layers.errors[1].hidden


@pytest.mark.process
def test_a_narrower_model_has_no_error_of_weights(registry, made):
    card = measure(registry, made("tiny-narrow", channels=32), made.parent, extent=SHORT)
    assert card.layers is not None
    assert all(each.weights is None and each.hidden > 0 for each in card.layers.errors)


@pytest.mark.process
def test_a_version_without_a_parent_has_a_card_of_its_own(registry, made):
    card = measure(registry, made.parent, None, extent=SHORT)
    assert (card.parent, card.comparison, card.layers, card.parent_memory) == (None, None, None, None)
    assert card.quality is not None
    assert card.decode is not None
    assert card.decode.ratio is None
    assert card.not_measured == dict.fromkeys(("comparison", "layers"), "tiny@1 wasn't made from another version.")


@pytest.mark.process
def test_a_model_with_infinite_predictions_has_no_perplexity(registry, made):
    def break_it(name, values):
        return values * float("inf") if name == "final_norm.weight" else values

    card = measure(registry, made("tiny-broken", change=break_it), made.parent, extent=SHORT)
    assert (card.quality, card.comparison) == (None, None)
    assert card.not_measured["comparison"] == "Its predictions of the text are not finite numbers."
    assert from_json(to_json(card)) == card


@pytest.mark.process
def test_another_vocabulary_is_not_compared(registry, made):
    version = made("tiny-other", change=lambda name, values: values[:256] if name == "embed.weight" else values,
                   config={"vocab_size": 256})  # fmt: skip
    card = measure(registry, version, made.parent, extent=SHORT)
    assert card.comparison is None
    assert card.not_measured["comparison"] == "tiny@1 has another vocabulary."


@pytest.mark.process
def test_the_progress_ends_at_its_total(registry, made):
    told = []
    measure(registry, made("tiny-same"), made.parent, lambda *each: told.append(each), extent=SHORT)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert len({total for _, _, total in told}) == 1
    assert told[-1][1] == pytest.approx(told[-1][2], rel=0.02)
    assert {"Predicting a text", "Comparing layers", "Measuring memory"} <= {label for label, _, _ in told}


@pytest.mark.process
def test_an_interrupted_measurement_stores_nothing(registry, made):
    version = made("tiny-noisy", change=noisy(0.05))

    def interrupt(label, done, total):
        if label == "Comparing layers":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_card(registry, version, interrupt)
    assert Cards(registry.database).get(version) is None
    assert registry.resolve("tiny-noisy@1") == version


@pytest.mark.process
def test_an_adapter_is_refused_with_the_version_to_measure(registry, made):
    import dataclasses

    adapter = dataclasses.replace(made.parent, adapts=1)
    with pytest.raises(BadRequest, match=r"llmos card tiny@1 --measure"):
        measure(registry, adapter, None)
