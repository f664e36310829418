"""Scores of given tokens: what whole rows of logits say, the same to the bit in every step, and as the sampler says."""

import textwrap
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.engine import _native
from llmos.engine.checkpoint.adapters import LowRankUpdate
from llmos.engine.messages import SamplingParams
from llmos.engine.runner import Batch, Scores, SequencesRefused
from llmos.engine.runner.native import NativeRunner
from llmos.engine.sampling.sampler import Sampler, SamplingState
from llmos.engine.tensors import RawTensor
from support import run_script
from support.examples import examples
from support.fakes import generate, logprobs_of, make_engine, run, tokens_of
from support.native_pool import pool
from support.random_models import (
    ISAS,
    LLAMA,
    SHARED,
    SPECS,
    SQUARED,
    STREAMS,
    batch_of,
    prompt_of,
    random_model,
    runner_of,
)
from support.recurrent_batches import with_states
from support.reference_scores import assert_close, scores_of

pytestmark = pytest.mark.combinations

MANY = replace(LLAMA, vocab_size=2083)
"""Three blocks of the vocabulary, and a group of rows that is not full."""


def scoring(batch: Batch, rows, tokens, num_top=0) -> Batch:
    scored = {"scored_rows": np.array(rows, np.int32), "scored_tokens": np.array(tokens, np.int32)}
    return replace(batch, **scored, num_top=num_top)


def wanting(batch: Batch, rows) -> Batch:
    return replace(batch, logit_rows=np.array(rows, np.int32))


def scores_in(runner: NativeRunner, batch: Batch) -> Scores:
    runner.forward(batch)
    scores = runner.scores()
    assert scores is not None
    return scores


def part(scores: Scores, rows: slice) -> Scores:
    return Scores(*(each[rows] for each in astuple(scores)))


def assert_same(found: Scores, expected: Scores, what: str = "") -> None:
    for name, each, other in zip(Scores.__slots__, astuple(found), astuple(expected), strict=True):
        np.testing.assert_array_equal(each, other, err_msg=f"{name} {what}")


# --- against whole rows of logits


@pytest.mark.parametrize("spec", [*SPECS.values(), MANY], ids=[*SPECS, "many"])
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("num_tokens", [3, 40])
def test_scores_are_those_of_whole_rows_of_logits(spec, isa, num_tokens):
    """With multipliers, soft caps and biases of logits, tied heads, experts and recurrent layers among the specs."""
    runner = runner_of(spec, "Q8_0", isa=isa, threads=2)
    batch = batch_of([(0, prompt_of(num_tokens, 1, spec), [0, 1, 2]), (0, prompt_of(5, 2, spec), [3])])
    rows, tokens = np.arange(num_tokens + 5, dtype=np.int32), prompt_of(num_tokens + 5, 3, spec)
    logits = runner.forward(scoring(batch, rows, tokens, num_top=7)).copy()
    assert_close(runner.scores(), scores_of(logits, np.array(tokens), 7), atol=1e-5)


@pytest.mark.parametrize("isa", ISAS)
def test_all_tokens_of_the_vocabulary_scored_at_one_position_are_its_distribution(isa):
    runner = runner_of(MANY, "Q8_0", isa=isa, threads=2)
    batch = batch_of([(0, prompt_of(6, 1, MANY), [0])])
    rows = np.repeat([2, 5], MANY.vocab_size)
    scores = scores_in(runner, scoring(wanting(batch, []), rows, [*range(MANY.vocab_size)] * 2, num_top=20))
    for first in (0, MANY.vocab_size):
        each = part(scores, slice(first, first + MANY.vocab_size))
        logprobs_V = each.logprobs_Q.astype(np.float64)
        assert np.exp(logprobs_V).sum() == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(each.entropies_Q, -(np.exp(logprobs_V) * logprobs_V).sum(), atol=1e-5)
        assert sorted(each.ranks_Q.tolist()) == [*range(1, MANY.vocab_size + 1)]
        best = np.argsort(each.ranks_Q)[:20]
        np.testing.assert_array_equal(each.top_ids_QK, np.tile(best, (MANY.vocab_size, 1)))
        np.testing.assert_array_equal(each.top_logprobs_QK[0], each.logprobs_Q[best])


@pytest.mark.parametrize("isa", ISAS)
def test_of_equally_likely_tokens_the_lowest_come_first(isa):
    tensors = random_model(MANY, "F32")
    rows = tensors["embed.weight"].data.copy()
    rows[:] = rows[0]
    same = {**tensors, "embed.weight": RawTensor("F32", tensors["embed.weight"].shape, rows)}
    runner = NativeRunner(MANY, same, num_blocks=4, threads=2, isa=isa)
    tokens = [0, 1, 1023, 1024, 1025, 2082]
    scores = scores_in(runner, scoring(batch_of([(0, [5, 6, 7], [0])]), [1] * 6, tokens, num_top=20))
    assert scores.ranks_Q.tolist() == [token + 1 for token in tokens]
    assert scores.top_ids_QK.tolist() == [[*range(20)]] * 6
    np.testing.assert_allclose(scores.logprobs_Q, -np.log(MANY.vocab_size), rtol=1e-6)
    np.testing.assert_allclose(scores.entropies_Q, np.log(MANY.vocab_size), rtol=1e-6)


# --- the same to the bit in every step


@pytest.mark.parametrize(
    ("spec", "isa"),
    [pytest.param(spec, ISAS[0], id=name) for name, spec in SPECS.items()]
    + [pytest.param(MANY, isa, id=f"many-{isa}") for isa in ISAS],
)
def test_scores_are_the_same_to_the_bit_in_other_batches_and_chunks_and_with_more_threads(spec, isa):
    prompt, tokens = prompt_of(50, 1, spec), prompt_of(50, 9, spec)

    def runner(threads):
        return runner_of(spec, "Q8_0", isa=isa, threads=threads)

    alone = scores_in(runner(1), scoring(batch_of([(0, prompt, [0, 1, 2, 3])]), range(50), tokens, num_top=5))
    others = [(0, prompt_of(n, n, spec), [10 + 4 * i + j for j in range(4)]) for i, n in enumerate([3, 17, 60, 1])]
    crowd = batch_of([*others, (0, prompt, [40, 7, 33, 50])])
    among = scores_in(runner(2), scoring(crowd, range(131), prompt_of(81, 3, spec) + tokens, num_top=5))
    assert_same(part(among, slice(81, None)), alone, "in a crowd")
    for sizes in ([1, 49], [7, 1, 1, 1, 40], [2, 3, 45]):
        done = 0
        for size in sizes:
            rows = slice(done, done + size)
            batch = batch_of([(done, prompt[rows], [9, 8, 7, 6])])
            assert_same(
                scores_in(runner(3), scoring(batch, range(size), tokens[rows], num_top=5)),
                part(alone, rows),
                f"in chunks of {sizes}",
            )
            done += size


def test_a_row_that_is_scored_with_several_tokens_has_the_scores_of_each():
    runner, batch = runner_of(MANY, "Q8_0", threads=2), batch_of([(0, prompt_of(9, 1, MANY), [0])])
    rows, tokens = [0, 3, 3, 3, 8, 8], [7, 1500, 1500, 2, 2082, 0]
    together = scores_in(runner, scoring(batch, rows, tokens, num_top=4))
    for i, (row, token) in enumerate(zip(rows, tokens, strict=True)):
        alone = scores_in(runner, scoring(batch, [row], [token], num_top=4))
        assert_same(part(together, slice(i, i + 1)), alone, f"of row {row} and token {token}")


def test_the_number_of_likeliest_tokens_changes_no_other_score():
    runner, batch = runner_of(MANY, "Q8_0", threads=2), batch_of([(0, prompt_of(40, 1, MANY), [0, 1, 2])])
    most = scores_in(runner, scoring(batch, range(40), prompt_of(40, 2, MANY), num_top=20))
    for num_top in (0, 1, 6):
        fewer = scores_in(runner, scoring(batch, range(40), prompt_of(40, 2, MANY), num_top=num_top))
        cut = replace(most, top_ids_QK=most.top_ids_QK[:, :num_top], top_logprobs_QK=most.top_logprobs_QK[:, :num_top])
        assert_same(fewer, cut, f"with {num_top}")


@pytest.mark.parametrize("wanted", [[], [2], [45], [0, 1, 40, 44, 45]], ids=str)
@pytest.mark.parametrize("scored", [[44], [45], [40, 41, 42, 43, 44, 45], [0, 30]], ids=str)
@pytest.mark.parametrize("spec", [LLAMA, SHARED, STREAMS], ids=["llama", "shared", "streams"])
def test_logits_and_scores_of_a_step_know_nothing_of_each_other(spec, wanted, scored):
    """If the last layers are computed for wanted rows only, rows for logits and rows for scores are both wanted."""
    runner = runner_of(spec, "Q8_0", threads=2)
    batch = batch_of([(0, prompt_of(40, 1, spec), [0, 1, 2]), (0, prompt_of(6, 2, spec), [3])])
    tokens = prompt_of(len(scored), 3, spec)
    all_logits = runner.forward(batch).copy()
    all_likeliest = runner.likeliest()
    all_scores = scores_in(runner, scoring(batch, range(46), prompt_of(46, 4, spec)))
    expected = scores_of(all_logits[scored], np.array(tokens), 3)

    both = scoring(wanting(batch, wanted), scored, tokens, num_top=3)
    np.testing.assert_array_equal(runner.forward(both), all_logits[wanted])
    np.testing.assert_array_equal(runner.likeliest().tokens_R, all_likeliest.tokens_R[wanted])
    scores = runner.scores()
    assert_close(scores, expected, atol=1e-5)
    np.testing.assert_array_equal(scores.entropies_Q, all_scores.entropies_Q[scored])

    np.testing.assert_array_equal(runner.forward(wanting(batch, wanted)), all_logits[wanted])
    assert runner.scores() is None


def test_a_recurrent_sequence_is_scored_as_it_continues_from_a_snapshot():
    spec = SPECS["delta"]
    prompt, tokens, table = prompt_of(40, 1, spec), prompt_of(40, 2, spec), [0, 1, 2]
    options = {"num_blocks": 64, "num_states": 4, "num_snapshots": 4}
    runner = NativeRunner(spec, random_model(spec, "Q8_0"), **options)
    first = with_states(batch_of([(0, prompt, table)]), [0], None, [(0, 32, 5)])
    whole = scores_in(runner, scoring(first, range(40), tokens, num_top=2))
    rest = with_states(batch_of([(32, prompt[32:], table)]), [1], [5])
    assert_same(scores_in(runner, scoring(rest, range(8), tokens[32:], num_top=2)), part(whole, slice(32, None)))


def test_tokens_of_sequences_with_adapters_and_without_are_scored_side_by_side():
    runner = NativeRunner(MANY, random_model(MANY, "Q8_0"), num_blocks=64, threads=2)
    random = np.random.default_rng(1)
    down, up = (random.normal(0, 0.3, shape).astype(np.float32) for shape in ((4, 96), (96, 4)))
    runner.set_adapter(0, {"layers.0.q": LowRankUpdate(down, up), "layers.1.o": LowRankUpdate(down, up)})
    prompt, tokens = prompt_of(20, 1, MANY), prompt_of(20, 2, MANY)
    alone = {}
    for index in (-1, 0):
        batch = replace(batch_of([(0, prompt, [0, 1])]), adapters=np.array([index], np.int32))
        logits = runner.forward(scoring(batch, range(20), tokens, num_top=3)).copy()
        alone[index] = runner.scores()
        assert_close(alone[index], scores_of(logits, np.array(tokens), 3), atol=1e-5)
    assert not np.array_equal(alone[-1].logprobs_Q, alone[0].logprobs_Q)
    both = replace(batch_of([(0, prompt, [0, 1]), (0, prompt, [2, 3])]), adapters=np.array([0, -1], np.int32))
    scores = scores_in(runner, scoring(both, range(40), tokens * 2, num_top=3))
    assert_same(part(scores, slice(20)), alone[0])
    assert_same(part(scores, slice(20, None)), alone[-1])


@settings(max_examples=examples(150, fast=8), deadline=None)
@given(data=st.data())
def test_any_tokens_of_any_batch_have_the_scores_of_their_rows_alone(data):
    vocab_size = data.draw(st.sampled_from([1, 15, 16, 37, 1023, 1024, 1025, 2083]), "vocabulary")
    spec = replace(LLAMA, vocab_size=vocab_size, num_layers=1)
    runner = runner_of(spec, "Q8_0", threads=data.draw(st.integers(1, 3), "threads"))
    lengths = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4), "lengths")
    batch = batch_of([(0, prompt_of(n, n, spec), [3 * s, 3 * s + 1, 3 * s + 2]) for s, n in enumerate(lengths)])
    logits = runner.forward(batch).copy()
    rows = sorted(data.draw(st.lists(st.integers(0, sum(lengths) - 1), min_size=1, max_size=90), "rows"))
    token = st.integers(0, vocab_size - 1)
    tokens = data.draw(st.lists(token, min_size=len(rows), max_size=len(rows)), "tokens")
    num_top = data.draw(st.integers(0, min(20, vocab_size)), "num_top")
    wanted = data.draw(st.sets(st.integers(0, sum(lengths) - 1)), "wanted")
    scores = scores_in(runner, scoring(wanting(batch, sorted(wanted)), rows, tokens, num_top))
    assert_close(scores, scores_of(logits[rows], np.array(tokens), num_top), atol=1e-5)
    one = data.draw(st.integers(0, len(rows) - 1), "one")
    alone = scores_in(runner, scoring(batch, rows[one : one + 1], tokens[one : one + 1], num_top))
    assert_same(part(scores, slice(one, one + 1)), alone)


# --- against the sampler


def sampled_from(logits, isa, **params):
    """Sample a token of each row, with seeds of its own."""
    states = [
        SamplingState(SamplingParams(**params), seed=i, prompt=(), stop_ids=frozenset(), vocab_size=logits.shape[1])
        for i in range(len(logits))
    ]
    sampler = Sampler(lambda rows, *arguments, **masks: _native.sample(pool(), rows, *arguments, isa=isa, **masks))
    return sampler.sample(logits.copy(), states)


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("spec", [LLAMA, MANY, *(SPECS[name] for name in ("odd", "capped", "squared"))])
def test_scores_are_the_samplers_logprobs_to_the_bit(spec, isa, temperature):
    runner = runner_of(spec, "Q8_0", isa=isa, threads=2)
    batch = batch_of([(0, prompt_of(40, 1, spec), [0, 1, 2])])
    sampled = sampled_from(runner.forward(batch), isa, temperature=temperature, logprobs=10)
    scores = scores_in(runner, scoring(batch, range(40), sampled.ids, num_top=10))
    np.testing.assert_array_equal(scores.logprobs_Q, sampled.logprobs)
    np.testing.assert_array_equal(scores.top_ids_QK, sampled.top_ids)
    np.testing.assert_array_equal(scores.top_logprobs_QK, sampled.top_logprobs)
    if temperature == 0:
        assert scores.ranks_Q.tolist() == [1] * 40


@pytest.mark.thorough
@pytest.mark.parametrize("isa", ISAS)
def test_answers_that_are_scored_as_prompts_have_the_logprobs_of_their_generation(isa):
    """The engine's sampler runs on the runner's kernel path: another one rounds one sum of some hundreds otherwise."""
    runner = NativeRunner(LLAMA, random_model(LLAMA, "Q4_1"), num_blocks=300, isa=isa, threads=2)
    requests = [generate(str(i), tokens=[i], temperature=1.3, seed=i, logprobs=0, max_tokens=500) for i in range(8)]
    for (request_id, _), deltas in run(make_engine(runner), *requests).items():
        answer = tokens_of(deltas)
        given = batch_of([(0, [int(request_id), *answer[:-1]], [*range(32)])])
        scores = scores_in(runner, scoring(wanting(given, []), range(500), answer))
        assert scores.logprobs_Q.tolist() == [each.logprob for each in logprobs_of(deltas)]


# --- rows that cannot be scored


@pytest.mark.parametrize("isa", ISAS)
def test_a_row_with_nan_has_no_scores_and_changes_none_beside_it(isa):
    tensors = random_model(LLAMA, "F32")
    embed = tensors["embed.weight"].data.copy()
    embed.view(np.float32)[7] = np.nan  # one token that spoils its own sequence
    model = {**tensors, "embed.weight": RawTensor("F32", tensors["embed.weight"].shape, embed)}
    spec = replace(LLAMA, tied_head=False)
    model["head.weight"] = tensors["embed.weight"]
    runner = NativeRunner(spec, model, num_blocks=64, weights="f32", kv_dtype="f32", isa=isa, threads=2)
    good = scores_in(runner, scoring(batch_of([(0, [1, 2, 3], [4])]), [0, 1, 2], [4, 5, 6], num_top=2))
    beside = batch_of([(0, [1, 7, 2], [3]), (0, [1, 2, 3], [4])])
    scores = scores_in(runner, scoring(beside, [0, 1, 1, 2, 3, 4, 5], [1, 2, 3, 4, 4, 5, 6], num_top=2))
    assert_same(part(scores, slice(4, None)), good)
    assert np.isfinite(scores.logprobs_Q[0])
    broken = part(scores, slice(1, 4))
    assert np.isnan(broken.logprobs_Q).all()
    assert np.isnan(broken.entropies_Q).all()
    assert broken.ranks_Q.tolist() == [0, 0, 0]
    assert broken.top_ids_QK.tolist() == [[-1, -1]] * 3
    assert np.isnan(broken.top_logprobs_QK).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("token", [0, 1500, 2082])
@pytest.mark.parametrize("isa", ISAS)
def test_one_logit_that_is_not_finite_spoils_its_row(isa, token, value):
    spec = replace(SQUARED, vocab_size=2083)
    model = random_model(spec, "F32")
    bias = RawTensor("F32", model["head.bias"].shape, model["head.bias"].data.copy())
    bias.data.view(np.float32)[..., token] = value
    runner = NativeRunner(spec, {**model, "head.bias": bias}, num_blocks=4, isa=isa, threads=2)
    scores = scores_in(runner, scoring(batch_of([(0, [1, 2], [0])]), [0, 1, 1], [token, token, 5], num_top=20))
    assert np.isnan(scores.logprobs_Q).all()
    assert np.isnan(scores.entropies_Q).all()
    assert scores.ranks_Q.tolist() == [0, 0, 0]


# --- bad input


GOOD = [0, 1, 1, 3], [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("rows", "tokens", "num_top", "message"),
    [
        ([0, 1, 4], [4, 5, 6], 0, "a scored row is outside the batch"),
        ([-1, 1, 3], [4, 5, 6], 0, "a scored row is outside the batch"),
        ([1, 0, 3], [4, 5, 6], 0, "scored rows must ascend"),
        ([0, 1], [4, 5, 6], 0, "every scored row has one token"),
        (*GOOD, -1, "num_top is from 0 to 20"),
        (*GOOD, 21, "num_top is from 0 to 20"),
    ],
)
def test_inconsistent_scored_rows_are_refused(rows, tokens, num_top, message):
    runner, batch = runner_of(LLAMA, "Q8_0"), batch_of([(0, [1, 2, 3, 4], [0])])
    with pytest.raises(ValueError, match=message):
        runner.forward(scoring(batch, rows, tokens, num_top))
    assert runner.scores() is None
    assert np.isfinite(scores_in(runner, scoring(batch, *GOOD, 20)).logprobs_Q).all()


def test_more_likeliest_tokens_than_there_are_tokens_are_refused():
    runner, batch = runner_of(replace(LLAMA, vocab_size=15), "Q8_0"), batch_of([(0, [1, 2, 3, 4], [0])])
    with pytest.raises(ValueError, match="no more than the vocabulary"):
        runner.forward(scoring(batch, *GOOD, 16))
    assert sorted(scores_in(runner, scoring(batch, *GOOD, 15)).top_ids_QK[0].tolist()) == [*range(15)]


@pytest.mark.parametrize("token", [-1, LLAMA.vocab_size])
def test_the_sequences_whose_scored_tokens_are_outside_the_vocabulary_are_named(token):
    runner = runner_of(LLAMA, "Q8_0")
    batch = batch_of([(0, [1, 2], [0]), (0, [1, 2, 3], [1]), (0, [4], [2])])
    with pytest.raises(SequencesRefused, match="a scored token is outside the vocabulary") as refused:
        runner.forward(scoring(batch, [0, 2, 4, 4, 5], [1, 2, 3, token, token]))
    assert refused.value.indices == [1, 2]


def test_arrays_of_another_dtype_are_refused_not_converted():
    runner, batch = runner_of(LLAMA, "Q8_0"), scoring(batch_of([(0, [1, 2, 3, 4], [0])]), *GOOD)
    for name in ("scored_rows", "scored_tokens"):
        with pytest.raises(TypeError):
            runner.forward(replace(batch, **{name: getattr(batch, name).astype(np.int64)}))


def test_a_model_without_a_head_scores_nothing():
    spec = replace(LLAMA, has_head=False)
    runner = NativeRunner(spec, random_model(spec, "Q8_0"), num_blocks=4)
    with pytest.raises(ValueError, match="a model without a head scores no tokens"):
        runner.forward(scoring(batch_of([(0, [1, 2, 3, 4], [0])]), *GOOD))


def test_a_step_may_score_no_tokens():
    scores = scores_in(runner_of(LLAMA, "Q8_0"), scoring(batch_of([(0, [1, 2], [0])]), [], [], num_top=3))
    assert scores.logprobs_Q.shape == (0,)
    assert scores.top_ids_QK.shape == (0, 3)


# --- memory


def run_alone(program: str) -> None:
    """Run the code in a Python process of its own, whose memory is its own affair."""
    run_script(f"from test_scores import *\n{textwrap.dedent(program)}", Path(__file__).parent)


@pytest.mark.process
def test_scoring_a_whole_chunk_takes_less_than_30_megabytes():
    """With the vocabulary of Gemma, the largest of all families, and every row with as many likeliest tokens as can be.

    Whole rows of logits would be half a gigabyte.
    """
    run_alone("""
        import resource
        def resident():
            return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        spec = replace(LLAMA, vocab_size=262_144, hidden_size=32, num_heads=2, num_layers=1, max_positions=512)
        runner = NativeRunner(spec, random_model(spec, "Q8_0"), num_blocks=32, threads=2)
        batch = batch_of([(0, prompt_of(512, 1, spec), list(range(32)))])
        runner.forward(wanting(batch, [511]))
        before = resident()
        runner.forward(scoring(wanting(batch, []), range(512), prompt_of(512, 2, spec), num_top=20))
        assert np.isfinite(runner.scores().logprobs_Q).all()
        assert resident() - before < 30e6, resident() - before
    """)


@pytest.mark.process
def test_a_step_that_finds_no_memory_to_score_leaves_the_runner_usable():
    run_alone("""
        import resource
        spec = replace(LLAMA, vocab_size=100_000, hidden_size=32, num_heads=2, num_layers=1)
        runner = NativeRunner(spec, random_model(spec, "Q8_0"), num_blocks=32)
        batch = batch_of([(0, prompt_of(512, 1, spec), list(range(32)))])
        before = scores_in(runner, scoring(wanting(batch, []), [511], [7]))
        in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + (1 << 20), -1))
        every = scoring(wanting(batch, []), range(512), prompt_of(512, 2, spec))
        with pytest.raises(MemoryError, match="bytes in one piece"):
            runner.forward(every)
        assert runner.scores() is None
        assert_same(scores_in(runner, scoring(wanting(batch, []), [511], [7])), before)
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        assert np.isfinite(scores_in(runner, every).logprobs_Q).all()
    """)
