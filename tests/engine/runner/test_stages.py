"""A model in stages computes the logits and scores of the whole model, to the bit."""

from dataclasses import astuple, replace
from functools import cache
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.core.errors import BadRequest, UnsupportedModel
from llmos.engine.checkpoint.adapters import LowRankUpdate
from llmos.engine.runner import SequencesRefused
from llmos.engine.runner.native import NativeRunner
from llmos.engine.runner.stage import Stage, StageBatch, check_stages, stage_shapes
from support.examples import examples
from support.random_models import DELTA, ISAS, LLAMA, SHARED, SPECS, STREAMS, batch_of, prompt_of, random_model

pytestmark = pytest.mark.combinations

OPTIONS = {"num_blocks": 32, "num_states": 4, "num_snapshots": 2, "threads": 2}


class Split:
    """A chain of stages in this process, with the interface of a NativeRunner."""

    def __init__(self, spec, cuts, **options):
        edges = [0, *cuts, spec.num_layers]
        self.stages = [Stage(first, end - 1) for first, end in pairwise(edges)]
        tensors = random_model(spec, "Q8_0")
        self.runners = [
            # Each has its own tensors only, so a missing one would be noticed.
            NativeRunner(spec, {n: tensors[n] for n in stage_shapes(spec, stage)}, stage=stage, **OPTIONS | options)
            for stage in self.stages
        ]

    def forward(self, batch):
        home, *others = self.runners
        rows = home.advance(StageBatch.of(batch), tokens=batch.tokens)
        for runner in others:
            rows = runner.advance(StageBatch.of(batch), rows=rows)
        return home.finish(rows, batch)

    def scores(self):
        return self.runners[0].scores()

    def likeliest(self):
        return self.runners[0].likeliest()

    def set_adapter(self, index, adapter):
        for runner in self.runners:
            runner.set_adapter(index, adapter)


def whole(spec, **options):
    return NativeRunner(spec, random_model(spec, "Q8_0"), **OPTIONS | options)


def adapter_of(spec, has_gain):
    rng = np.random.default_rng(3)
    adapter = {}
    for name, shape in spec.tensor_shapes().items():
        if len(shape) != 2 or name.split(".")[-2] not in ("q", "k", "v", "o", "gate", "up", "down"):
            continue
        down, up = rng.normal(0, 0.2, (4, shape[1])), rng.normal(0, 0.2, (shape[0], 4))
        gain = rng.uniform(0.5, 1.5, shape[0]).astype(np.float32) if has_gain else None
        adapter[name.removesuffix(".weight")] = LowRankUpdate(down.astype(np.float32), up.astype(np.float32), gain)
    return adapter


def steps_of(spec):
    """Return the steps of three sequences: prompts in chunks beside decoding ones, a prefix from the cache, a draft,
    and rows that are scored."""
    states = np.array([0, 1], np.int32)
    first = batch_of([(0, prompt_of(21, 1, spec), [3, 5]), (0, prompt_of(4, 2, spec), [9])])
    yield replace(first, states=states)
    chunk = batch_of([(21, prompt_of(1, 4, spec), [3, 5]), (4, prompt_of(30, 5, spec), [9, 8, 7])])
    yield replace(chunk, states=states, logit_rows=np.array([0], np.int32))
    # The block 9 is full of the second one's tokens: a third begins behind them. Recurrent models have no state there.
    scored = {
        "scored_rows": np.array([0, 2, 2, 6], np.int32), "scored_tokens": np.array([1, 5, 6, 7], np.int32), "num_top": 3
    }  # fmt: skip
    draft = [(22, prompt_of(4, 6, spec), [3, 5]), (34, prompt_of(1, 8, spec), [9, 8, 7])]
    if spec.is_recurrent:
        yield replace(
            batch_of(draft),
            states=states,
            logit_rows=np.array([3, 4], np.int32),
            **scored | {"scored_rows": np.array([0, 2, 2, 4], np.int32)},
        )
    else:
        yield replace(
            batch_of([*draft, (16, prompt_of(3, 7, spec), [9, 11])]), logit_rows=np.array([1, 2, 3, 4, 7], np.int32),
            **scored,
        )  # fmt: skip
    yield replace(batch_of([(26, prompt_of(1, 9, spec), [3, 5])]), states=states[:1], logit_rows=np.array([], np.int32))
    yield replace(batch_of([(27, prompt_of(1, 9, spec), [3, 5])]), states=states[:1])


def assert_same(split, reference, steps):
    for batch in steps:
        expected = reference.forward(batch).copy()
        np.testing.assert_array_equal(split.forward(batch).view(np.uint32), expected.view(np.uint32))
        if batch.scored_rows is not None:
            for found, wanted in zip(astuple(split.scores()), astuple(reference.scores()), strict=True):
                np.testing.assert_array_equal(found, wanted)
        for found, wanted in zip(astuple(split.likeliest()), astuple(reference.likeliest()), strict=True):
            np.testing.assert_array_equal(found, wanted)


def cuts_of(spec):
    layers = range(1, spec.num_layers)
    return [cuts for count in layers for cuts in combinations(layers, count)]


@pytest.mark.parametrize(
    ("spec", "cuts"),
    [pytest.param(spec, cuts, id=f"{name} at {cuts}") for name, spec in SPECS.items() for cuts in cuts_of(spec)],
)
def test_every_cut_of_every_family_computes_the_same(spec, cuts):
    assert_same(Split(spec, cuts), whole(spec), steps_of(spec))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kv_dtype", ["int8", "f16", "f32"])
@pytest.mark.parametrize("weights", ["auto", "f32"])
def test_every_kernel_path_computes_the_same(isa, kv_dtype, weights):
    options = {"isa": isa, "kv_dtype": kv_dtype, "weights": weights}
    assert_same(Split(SHARED, (2, 4), **options), whole(SHARED, **options), steps_of(SHARED))


@pytest.mark.parametrize("spec", [LLAMA, SHARED, STREAMS, SPECS["gpt2"], SPECS["beside"]])
@pytest.mark.parametrize("has_gain", [False, True])
def test_an_adapter_changes_the_layers_of_each_stage(spec, has_gain):
    split, reference, without = Split(spec, (1,)), whole(spec), whole(spec)
    for runner in (split, reference):
        runner.set_adapter(0, adapter_of(spec, has_gain))
    adapted = replace(next(steps_of(spec)), adapters=np.array([0, -1], np.int32))
    assert_same(split, reference, [adapted])
    assert (split.forward(adapted)[:21] != without.forward(replace(adapted, adapters=None))[:21]).any()


def test_states_are_copied_and_restored_in_each_stage():
    split, reference = Split(DELTA, (1, 2)), whole(DELTA)
    tokens = prompt_of(24, 1, DELTA)
    prompt = replace(batch_of([(0, tokens, [1, 2])]), snapshots=np.array([[0, 16, 4]], np.int32))
    again = replace(
        batch_of([(16, tokens[16:], [1, 3])]), states=np.array([1], np.int32), restored=np.array([4], np.int32)
    )
    assert_same(split, reference, [prompt, again])


def test_stages_share_the_memory_of_the_whole_model_among_them():
    for spec in (LLAMA, DELTA):
        parts = Split(spec, range(1, spec.num_layers)).runners
        assert sum(part.kv_bytes for part in parts) == whole(spec).kv_bytes
        assert sum(part.weight_bytes for part in parts) == whole(spec).weight_bytes


def test_home_refuses_sequences_for_what_they_bring():
    split = Split(LLAMA, (1,))
    batch = batch_of([(0, [1, 2], [0]), (0, [3, LLAMA.vocab_size], [1])])
    with pytest.raises(SequencesRefused) as refused:
        split.forward(batch)
    assert refused.value.indices == [1]


def test_a_stage_refuses_what_it_cannot_compute():
    home, last = Split(LLAMA, (1,)).runners
    batch = batch_of([(0, [1, 2], [0])])
    rows = home.advance(StageBatch.of(batch), tokens=batch.tokens)
    with pytest.raises(ValueError, match="another size"):
        last.advance(StageBatch.of(batch), rows=np.ascontiguousarray(rows[:, :-1]))
    with pytest.raises(ValueError, match="number of tokens"):
        last.advance(replace(StageBatch.of(batch), wanted_rows=np.array([0], np.int32)), rows=rows[:1])
    with pytest.raises(ValueError, match="outside the cache"):
        last.advance(replace(StageBatch.of(batch), block_tables=np.array([[99]], np.int32)), rows=rows)
    with pytest.raises(ValueError, match="outside the batch"):
        last.advance(replace(StageBatch.of(batch), wanted_rows=np.array([2], np.int32)), rows=rows)
    with pytest.raises(ValueError, match="home takes tokens"):
        last.advance(StageBatch.of(batch), tokens=batch.tokens)
    with pytest.raises(ValueError, match="home takes tokens"):
        home.advance(StageBatch.of(batch), rows=rows)
    with pytest.raises(ValueError, match="no logits of its own"):
        home.forward(batch)
    with pytest.raises(ValueError, match="only home"):
        last.finish(rows, batch)
    with pytest.raises(ValueError, match="outside the batch"):
        home.finish(rows[:1], batch)


ARRAYS = ("starts", "context_lengths", "block_tables", "wanted_rows", "adapters", "states", "restored", "snapshots")


@settings(max_examples=examples(300, fast=20), deadline=None)
@given(
    changes=st.lists(
        st.tuples(
            st.sampled_from(ARRAYS),
            st.integers(0, 5),
            st.one_of(st.integers(-3, 40), st.sampled_from([-(2**31), 2**31 - 1, 2**16, 10**9])),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_home_sends_a_stage_computes_or_refuses(changes):
    batch = replace(
        StageBatch.of(batch_of([(3, [1, 2, 3], [4, 5]), (7, [1], [6])])),
        adapters=np.full(2, -1, np.int32),
        states=np.arange(2, dtype=np.int32),
        restored=np.full(2, -1, np.int32),
        snapshots=np.array([[0, 2, 4]], np.int32),
    )
    for name, index, value in changes:
        array = getattr(batch, name).copy()
        array.flat[index % array.size] = value
        batch = replace(batch, **{name: array})
    last = _last_of_delta()
    try:
        rows = last.advance(batch, rows=np.zeros((4, last.row_size(1)), np.float32))
    except ValueError:
        return
    assert rows.shape[0] == len(batch.wanted_rows)


@cache
def _last_of_delta():
    return Split(DELTA, (1,)).runners[1]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([(0, 0), (2, 4)], "No stage has layer 1."),
        ([(0, 0), (3, 4)], "No stage has the layers 1 to 2."),
        ([(0, 2), (2, 4)], "Two stages have layer 2."),
        ([(0, 3), (1, 4)], "Two stages have the layers 1 to 3."),
        ([(0, 2), (3, 2)], "The stage 3-2 has no layers."),
        ([(1, 4)], "No stage has layer 0."),
        ([(0, 3)], "The stages end behind layer 3; the model's last layer is 4."),
        ([(0, 4), (5, 9)], "The stages end behind layer 9; the model's last layer is 4."),
        ([(i, i) for i in range(6)], "The model has 5 layers, too few for 6 stages."),
    ],
)
def test_stages_that_are_not_the_layers_are_refused(stages, message):
    with pytest.raises(BadRequest, match=message):
        check_stages(SHARED, [Stage(*each) for each in stages])


def test_a_model_that_makes_embeddings_is_not_split():
    with pytest.raises(UnsupportedModel, match="one node"):
        check_stages(replace(LLAMA, has_head=False), [Stage(0, 0), Stage(1, 1)])


def test_the_layers_of_a_model_are_stages():
    check_stages(SHARED, [Stage(0, 1), Stage(2, 2), Stage(3, 4)])
