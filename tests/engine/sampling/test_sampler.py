"""The native sampler agrees with its plain numpy reference, and gets the right parameters from the sampling states."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.engine import _native
from llmos.engine.messages import SamplingParams
from llmos.engine.runner import Likeliest
from llmos.engine.sampling.sampler import Masks, Sampler, SamplingState, native_sampler
from support import reference_sampler as reference
from support import run_script
from support.examples import examples
from support.native_pool import pool

pytestmark = pytest.mark.combinations

ISAS = _native.available_isas()


def make_logits(seed, rows=1, vocab=200, scale=3.0):
    return (np.random.default_rng(seed).standard_normal((rows, vocab)) * scale).astype(np.float32)


def make_state(seed=0, prompt=(), stop_ids=(), vocab=200, **params):
    return SamplingState(
        SamplingParams(**params), seed=seed, prompt=prompt, stop_ids=frozenset(stop_ids), vocab_size=vocab
    )


def sample(logits_RV, states):
    return native_sampler(pool(), 1).sample(logits_RV.copy(), states)


@pytest.fixture(params=ISAS)
def isa_sampler(request):
    """A sampler on each kernel path that this machine has."""
    return Sampler(
        lambda logits, *arguments, **masks: _native.sample(pool(), logits, *arguments, isa=request.param, **masks)
    )


def test_temperature_zero_takes_the_most_probable_token_and_the_lowest_of_equals(isa_sampler):
    logits = make_logits(1, rows=3)
    logits[1, 17] = logits[1, 150] = 50
    sampled = isa_sampler.sample(logits.copy(), [make_state(temperature=0) for _ in range(3)])
    assert sampled.ids == [int(np.argmax(logits[0])), 17, int(np.argmax(logits[2]))]


def test_a_tiny_temperature_counts_as_zero():
    assert make_state(temperature=1e-6).temperature == 0
    assert make_state(temperature=0.01).temperature == 0.01


FILTERS = [
    {},
    {"temperature": 0.5},
    {"temperature": 1.7},
    {"top_k": 5},
    {"top_p": 0.7},
    {"top_p": 0.0},
    {"min_p": 0.1},
    {"temperature": 1.5, "top_k": 20, "top_p": 0.8, "min_p": 0.02},
]


@pytest.mark.parametrize("params", FILTERS, ids=str)
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_tokens_are_sampled_with_their_probabilities(isa_sampler, params, scale):
    """Pearson's chi-square over 20,000 draws; the seeds are fixed, so it always comes out the same."""
    num_draws, vocab = 20_000, 60
    logits = make_logits(3, vocab=vocab, scale=scale)
    p = reference.distribution(logits[0], **params)
    counts = np.zeros(vocab)
    logits = np.repeat(logits, 500, axis=0)
    states = [make_state(seed=i, vocab=vocab, **params) for i in range(500)]
    for _ in range(num_draws // 500):
        for each, token in zip(states, isa_sampler.sample(logits.copy(), states).ids, strict=True):
            each.append(token)
            counts[token] += 1
    assert counts[p == 0].sum() == 0, "a token was drawn that the filters exclude"
    # Classes that are expected fewer than 5 times are counted as one, as the test asks for.
    large = p * num_draws >= 5
    observed = np.append(counts[large], counts[~large].sum())
    expected = np.append(p[large], p[~large].sum()) * num_draws
    observed, expected = observed[expected > 0], expected[expected > 0]
    statistic = ((observed - expected) ** 2 / expected).sum()
    degrees = len(expected) - 1
    # 4 standard deviations of the chi-square distribution: one in 10,000 correct samplers would fail
    assert statistic <= degrees + 4 * np.sqrt(2 * degrees)


@settings(max_examples=examples(150), deadline=None)
@given(data=st.data())
def test_a_sampled_token_always_has_a_probability_in_the_reference(data):
    """For any parameters, the sampled token has a probability above zero in the reference, and the logprobs agree."""
    rows = data.draw(st.integers(1, 4))
    logits = make_logits(data.draw(st.integers(0, 10_000)), rows=rows, vocab=50)
    states, expected = [], []
    for r in range(rows):
        filters = {
            "temperature": data.draw(st.sampled_from([0.0, 0.3, 1.0, 1.8])),
            "top_k": data.draw(st.sampled_from([0, 1, 3, 50, 500])),
            "top_p": data.draw(st.sampled_from([0.0, 0.35, 0.9, 1.0])),
            "min_p": data.draw(st.sampled_from([0.0, 0.2])),
        }
        penalties = {
            "repetition_penalty": data.draw(st.sampled_from([1.0, 1.3, 0.5])),
            "presence_penalty": data.draw(st.sampled_from([0.0, 1.5, -1.0])),
            "frequency_penalty": data.draw(st.sampled_from([0.0, 0.7])),
        }
        bias = data.draw(st.dictionaries(st.integers(0, 49), st.sampled_from([-100.0, 3.5, 100.0]), max_size=4))
        prompt = data.draw(st.lists(st.integers(0, 49), max_size=10))
        output = data.draw(st.lists(st.integers(0, 49), max_size=10))
        state = make_state(
            seed=data.draw(st.integers(0, 2**64 - 1)), prompt=prompt, vocab=50, logit_bias=bias, logprobs=3,
            **filters, **penalties,
        )  # fmt: skip
        for token in output:
            state.append(token)
        states.append(state)
        penalized = reference.penalize(
            logits[r],
            repetition=penalties["repetition_penalty"],
            presence=penalties["presence_penalty"],
            frequency=penalties["frequency_penalty"],
            seen={token: output.count(token) for token in {*prompt, *output}},
            bias=bias,
        )
        expected.append((penalized, filters))
    sampled = sample(logits, states)
    for r, (penalized, filters) in enumerate(expected):
        token = sampled.ids[r]
        # Borders of top_p and min_p may fall on either side in float32: a token just outside is one just inside.
        nearly = {**filters, "top_p": min(1, filters["top_p"] + 1e-5), "min_p": filters["min_p"] * (1 - 1e-5)}
        p = reference.distribution(penalized, **nearly)
        if filters["temperature"] == 0:
            assert penalized[token] >= penalized.max() - 1e-5
        else:
            assert p[token] > 0
        model = reference.log_softmax(logits[r].astype(np.float64))
        assert sampled.logprobs[r] == pytest.approx(model[token], abs=1e-4)
        best = np.argsort(-model, kind="stable")[:3]
        assert sampled.top_ids[r].tolist() == best.tolist()
        np.testing.assert_allclose(sampled.top_logprobs[r], model[best], atol=1e-4)


def test_the_draw_depends_on_seed_and_step_alone(isa_sampler):
    logits = make_logits(5, scale=0.5)
    alone = isa_sampler.sample(logits.copy(), [make_state(seed=42)]).ids
    crowd = np.concatenate([make_logits(6, rows=3), logits, make_logits(7, rows=2)])
    states = [make_state(seed=i) for i in range(3)] + [make_state(seed=42)] + [make_state(seed=9) for _ in range(2)]
    assert isa_sampler.sample(crowd, states).ids[3] == alone[0]
    by_step, by_seed = set(), {isa_sampler.sample(logits.copy(), [make_state(seed=i)]).ids[0] for i in range(30)}
    state = make_state(seed=42)
    for _ in range(30):
        token = isa_sampler.sample(logits.copy(), [state]).ids[0]
        by_step.add(token)
        state.append(token)
    assert len(by_step) > 10
    assert len(by_seed) > 10


def test_logprobs_are_the_models_own_whatever_is_done_to_the_logits():
    logits = make_logits(8)
    plain = reference.log_softmax(logits[0].astype(np.float64))
    state = make_state(temperature=0.3, logit_bias={7: 100.0}, repetition_penalty=1.5, prompt=[1, 2, 7], logprobs=0)
    sampled = sample(logits, [state])
    assert sampled.ids == [7]
    assert sampled.logprobs[0] == pytest.approx(plain[7], abs=1e-4)
    assert sampled.top_ids.shape[1] == 0


def test_rows_may_ask_for_different_numbers_of_logprobs():
    logits = make_logits(9, rows=3)
    sampled = sample(logits, [make_state(logprobs=k, temperature=0) for k in (None, 2, 5)])
    for r, k in [(1, 2), (2, 5)]:
        assert sampled.top_ids[r, :k].tolist() == np.argsort(-logits[r], kind="stable")[:k].tolist()


def test_rows_with_nan_get_no_token_and_affect_no_other_row():
    logits = make_logits(10, rows=3)
    logits[1, 3] = np.nan
    sampled = sample(logits, [make_state(temperature=t) for t in (0, 0, 1)])
    assert sampled.ids[1] == -1
    assert sampled.ids[0] == int(np.argmax(logits[0]))
    assert sampled.ids[2] >= 0


def test_stop_tokens_are_banned_until_min_tokens_and_bias_holds_all_the_time():
    logits = np.zeros((1, 20), np.float32)
    logits[0, 4] = 50
    state = make_state(temperature=0, min_tokens=2, stop_ids=[4], logit_bias={9: 5.0}, vocab=20)
    tokens = []
    for _ in range(3):
        tokens += sample(logits, [state]).ids
        state.append(tokens[-1])
    assert tokens == [9, 9, 4]


def test_penalties_count_the_output_and_repetition_the_prompt_as_well():
    state = make_state(prompt=[5, 3, 5], repetition_penalty=1.2)
    for token in [3, 8, 8]:
        state.append(token)
    assert dict(zip(state.seen.ids.tolist(), state.seen.counts.tolist(), strict=True)) == {5: 0, 3: 1, 8: 2}


def test_seen_tokens_grow_beyond_their_capacity():
    state = make_state(prompt=range(3), presence_penalty=0.5, vocab=2000)
    for token in range(1, 1000):
        state.append(token)
    assert state.seen.ids.tolist() == list(range(1000))
    assert state.seen.counts.tolist() == [0] + [1] * 999


def test_parameters_are_gathered_again_when_the_batch_changes():
    sampler = native_sampler(pool(), 1)
    logits = make_logits(12, rows=2, scale=0.5)
    first, second = make_state(temperature=0), make_state(temperature=0, logit_bias={100: 100.0})
    best = int(np.argmax(logits[0]))
    assert sampler.sample(logits[:1].copy(), [first]).ids == [best]
    assert sampler.sample(logits[:1].copy(), [second]).ids == [100]
    assert sampler.sample(logits.copy(), [second, first]).ids == [100, int(np.argmax(logits[1]))]


@pytest.mark.parametrize(
    "params",
    [{"min_p": 2.0}, {"min_p": np.nan}, {"top_p": -0.1}, {"top_p": np.nan}, {"temperature": -1.0, "min_p": 0.1},
     {"temperature": np.nan, "min_p": 0.1}, {"temperature": np.inf}],
    ids=str,
)  # fmt: skip
def test_parameters_that_allow_no_token_are_refused(params):
    state = make_state(temperature=0.5)
    for name, value in params.items():
        setattr(state, name, value)
    with pytest.raises(ValueError, match="number"):
        sample(make_logits(1), [state])


def test_the_smallest_temperature_still_takes_the_maximum_of_large_logits(isa_sampler):
    logits = make_logits(3, scale=1e5)
    for params in ({}, {"top_k": 5}, {"top_p": 0.5}, {"min_p": 0.5}):
        sampled = isa_sampler.sample(logits.copy(), [make_state(temperature=1e-5, **params)])
        assert sampled.ids == [int(np.argmax(logits))], params


def test_rows_of_logits_that_overlap_are_refused():
    logits = make_logits(1, rows=3)
    overlapping = np.lib.stride_tricks.as_strided(logits, (3, 200), (0, 4))
    for rows in (overlapping, logits[::-1]):
        with pytest.raises(ValueError, match="one after another"):
            native_sampler(pool(), 1).sample(rows, [make_state() for _ in range(3)])


@pytest.mark.process
def test_a_thread_that_finds_no_memory_raises_in_the_caller():
    program = """
        import resource
        from test_sampler import *
        logits, states = np.zeros((2, 40_000_000), np.float32), [make_state(), make_state()]
        in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + (100 << 20), -1))
        with pytest.raises(MemoryError):
            native_sampler(pool(), 1).sample(logits, states)
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        assert sample(make_logits(1), [make_state()]).ids[0] >= 0
    """
    run_script(program, Path(__file__).parent)


@settings(max_examples=examples(100), deadline=None)
@given(data=st.data())
def test_the_rows_of_a_draft_are_sampled_as_if_it_had_been_appended(data):
    token = st.integers(0, 29)
    states, drafts = [], []
    for _ in range(data.draw(st.integers(1, 3))):
        params = {
            "temperature": data.draw(st.sampled_from([0.0, 1.0])),
            "logprobs": data.draw(st.sampled_from([None, 2])),
            "min_tokens": data.draw(st.integers(0, 6)),
            "logit_bias": data.draw(st.dictionaries(token, st.sampled_from([-2.0, 2.0]), max_size=2)),
            "repetition_penalty": data.draw(st.sampled_from([1.0, 1.5])),
            "frequency_penalty": data.draw(st.sampled_from([0.0, 0.8])),
        }
        prompt, output = data.draw(st.lists(token, max_size=5)), data.draw(st.lists(token, max_size=3))
        state = make_state(seed=data.draw(st.integers(0, 99)), prompt=prompt, stop_ids=[3, 4], vocab=30, **params)
        for each in output:
            state.append(each)
        states.append(state)
        drafts.append(data.draw(st.lists(token, max_size=5)))
    logits = make_logits(data.draw(st.integers(0, 999)), rows=sum(map(len, drafts)) + len(drafts), vocab=30)
    together = native_sampler(pool(), 1).sample(logits.copy(), states, drafts)
    row = 0
    for state, draft in zip(states, drafts, strict=True):
        for drafted in [*draft, None]:
            alone = sample(logits[row : row + 1], [state])
            assert together.ids[row] == alone.ids[0]
            assert together.logprobs[row] == alone.logprobs[0]
            count = max(0, state.num_logprobs)
            assert together.top_ids[row, :count].tolist() == alone.top_ids[0, :count].tolist()
            state.append(0 if drafted is None else drafted)
            row += 1


def test_looking_ahead_changes_nothing():
    state = make_state(prompt=[5], presence_penalty=0.5, min_tokens=2, stop_ids=[3], vocab=30)
    before = state.seen.ids.tolist(), state.seen.counts.tolist(), state.step
    ids, counts = state.seen.with_draft([5, 7, 7])
    assert dict(zip(ids.tolist(), counts.tolist(), strict=True)) == {5: 1, 7: 2}
    sample(make_logits(1, rows=1, vocab=30), [state])
    native_sampler(pool(), 1).sample(make_logits(1, rows=4, vocab=30), [state], [[5, 7, 7]])
    assert (state.seen.ids.tolist(), state.seen.counts.tolist(), state.step) == before


def test_parameters_are_gathered_again_after_an_error():
    sampler = native_sampler(pool(), 1)
    state = make_state(temperature=0)
    state.seed = -1
    for _ in range(2):
        with pytest.raises(OverflowError):
            sampler.sample(make_logits(1), [state])


# --- masks


def mask_of(allowed, vocab):
    bits = np.zeros((vocab + 31) // 32 * 32, bool)
    bits[list(allowed)] = True
    return np.packbits(bits, bitorder="little").view(np.uint32)


def masked(logits_RV, states, allowed_of_row, likeliest=None, sampler=None):
    """Sample with a mask for each row that has a set of allowed tokens; None for any token."""
    vocab = logits_RV.shape[1]
    masks = [mask_of(allowed, vocab) for allowed in allowed_of_row if allowed is not None] or [mask_of((), vocab)]
    numbers = iter(range(len(masks)))
    rows = [-1 if allowed is None else next(numbers) for allowed in allowed_of_row]
    sampler = sampler or native_sampler(pool(), 1)
    return sampler.sample(
        logits_RV.copy(),
        states,
        likeliest=likeliest,
        masks=Masks(np.array(masks, np.uint32), np.array(rows, np.int32)),
    )


@settings(max_examples=examples(100), deadline=None)
@given(data=st.data())
def test_a_masked_row_is_sampled_as_if_the_other_tokens_were_banned(data):
    rows, vocab = data.draw(st.integers(1, 4)), data.draw(st.sampled_from([50, 64, 97]))
    logits = make_logits(data.draw(st.integers(0, 10_000)), rows=rows, vocab=vocab)
    params = [
        {
            "seed": data.draw(st.integers(0, 2**64 - 1)),
            "temperature": data.draw(st.sampled_from([0.0, 0.7, 1.8])),
            "top_k": data.draw(st.sampled_from([0, 3])),
            "top_p": data.draw(st.sampled_from([0.5, 1.0])),
            "min_p": data.draw(st.sampled_from([0.0, 0.2])),
            "repetition_penalty": data.draw(st.sampled_from([1.0, 1.3])),
            "logprobs": 3,
        }
        for _ in range(rows)
    ]
    allowed = [
        data.draw(st.one_of(st.none(), st.sets(st.integers(0, vocab - 1), min_size=1, max_size=vocab)))
        for _ in range(rows)
    ]
    prompt = [1, 2, 3]
    states = [make_state(prompt=prompt, vocab=vocab, **each) for each in params]
    banned = [
        make_state(
            prompt=prompt,
            vocab=vocab,
            logit_bias={} if only is None else dict.fromkeys(set(range(vocab)) - only, -np.inf),
            **each,
        )
        for each, only in zip(params, allowed, strict=True)
    ]
    expected = sample(logits, banned)
    likeliest = Likeliest(logits.max(axis=1), logits.argmax(axis=1).astype(np.int32))
    for known in (None, likeliest):
        sampled = masked(logits, states, allowed, known)
        assert sampled.ids == expected.ids
        assert all(only is None or token in only for token, only in zip(sampled.ids, allowed, strict=True))
        np.testing.assert_array_equal(sampled.top_ids, expected.top_ids)
        np.testing.assert_allclose(sampled.logprobs, expected.logprobs, rtol=1e-6)


def test_masks_are_applied_on_every_kernel_path(isa_sampler):
    logits = make_logits(4, rows=3)
    greedy = [make_state(temperature=0) for _ in range(3)]
    best = [int(np.argmax(row)) for row in logits]
    allowed = [{5, 190}, None, {best[2]}]
    expected = [max(allowed[0], key=lambda token: logits[0, token]), best[1], best[2]]
    assert masked(logits, greedy, allowed, sampler=isa_sampler).ids == expected


def test_wrong_masks_are_refused():
    logits, states = make_logits(1), [make_state()]
    for words, rows in (
        (np.zeros((1, 6), np.uint32), [0]),
        (np.zeros((1, 7), np.uint32), [1]),
        (np.zeros((1, 7), np.uint32), [0, 0]),
        (np.zeros((1, 7), np.uint32), [-2]),
    ):
        with pytest.raises(ValueError):
            native_sampler(pool(), 1).sample(logits.copy(), states, masks=Masks(words, np.array(rows, np.int32)))
