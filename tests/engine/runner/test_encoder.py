"""The native encoder agrees with transformers, and a text's vector depends on nothing but the text."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.engine import _native
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.encoder_spec import EncoderSpec
from llmos.engine.runner.encoder import NativeEncoder
from support.examples import examples
from support.tiny_encoders import CASES, TinyEncoder, make_tiny_encoder

ISAS = _native.available_isas()


@pytest.fixture(scope="module")
def tiny_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TinyEncoder]:
    return cache(lambda case, pooling="mean": make_tiny_encoder(case, tmp_path_factory.mktemp("tiny"), pooling=pooling))


def runner_of(tiny: TinyEncoder, **options) -> NativeEncoder:
    checkpoint = open_checkpoint(tiny.files())
    assert isinstance(checkpoint.spec, EncoderSpec)
    return NativeEncoder(checkpoint.spec, checkpoint.tensors, **options)


def run(runner: NativeEncoder, texts: Sequence[Sequence[int]]) -> np.ndarray:
    starts = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    return runner.forward(np.concatenate([np.asarray(text, np.int32) for text in texts]), starts)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_its_vectors_are_those_of_transformers(tiny_of, case: str, pooling: str):
    tiny = tiny_of(case, pooling)
    texts = [tiny.tokens(length, seed=length) for length in (1, 2, 7, 16, 17, 33, 150)]
    vectors = run(runner_of(tiny, weights="f32", threads=2), texts)
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_allclose(vector, tiny.pooled(text, pooling), atol=2e-5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("case", ["bert", "bert-heads-of-32"])
def test_8_bit_weights_come_close_on_every_instruction_set(tiny_of, case: str, isa: str):
    tiny = tiny_of(case)
    runner = runner_of(tiny, isa=isa)
    assert runner.isa == isa
    for length in (1, 5, 40):
        text = tiny.tokens(length, seed=length)
        assert cosine(run(runner, [text])[0], tiny.pooled(text)) > 0.998


@pytest.mark.parametrize("isa", ISAS)
def test_the_exact_gelu_agrees_with_the_error_function(tiny_of, isa: str):
    tiny = tiny_of("bert")
    text = tiny.tokens(9)
    np.testing.assert_allclose(run(runner_of(tiny, weights="f32", isa=isa), [text])[0], tiny.pooled(text), atol=2e-5)


lengths = st.lists(st.integers(1, 70), min_size=1, max_size=12)


@settings(max_examples=examples(40), deadline=None)
@given(lengths=lengths, weights=st.sampled_from(["auto", "f32"]), seed=st.integers(0, 3))
def test_a_vector_does_not_depend_on_its_batch_or_the_number_of_threads(tiny_of, lengths, weights, seed):
    tiny = tiny_of("bert-heads-of-32")
    one, two = _runners(tiny, weights)
    texts = [tiny.tokens(length, seed=seed + i) for i, length in enumerate(lengths)]
    together = run(two, texts)
    np.testing.assert_array_equal(together, run(one, texts))
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_array_equal(run(one, [text])[0], vector)


@cache
def _runners(tiny: TinyEncoder, weights: str) -> tuple[NativeEncoder, NativeEncoder]:
    return runner_of(tiny, weights=weights, threads=1), runner_of(tiny, weights=weights, threads=2)


def test_a_batch_sees_nothing_of_an_earlier_one(tiny_of):
    runner = runner_of(tiny_of("bert-heads-of-32"))
    text = tiny_of("bert-heads-of-32").tokens(5)
    before = run(runner, [text])
    run(runner, [tiny_of("bert-heads-of-32").tokens(64, seed=9)] * 8)
    np.testing.assert_array_equal(run(runner, [text]), before)


@pytest.mark.parametrize(
    ("tokens", "starts", "words"),
    [
        ([1, 2], [0, 1], "starts must run"),
        ([1, 2], [0, 0, 2], "every sequence must bring a token"),
        ([1, 131], [0, 2], "outside the vocabulary"),
        ([-1], [0, 1], "outside the vocabulary"),
        ([], [0], "tokens"),
        ([1] * 201, [0, 201], "more positions"),
    ],
)
def test_sizes_are_checked_before_anything_is_computed(tiny_of, tokens, starts, words):
    runner = runner_of(tiny_of("bert"))
    with pytest.raises(ValueError, match=words):
        runner._encoder.forward(np.array(tokens, np.int32), np.array(starts, np.int32))
