"""Packing: 4-bit weights stay exact, and others are fitted with the least error."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pytest

from llmos.engine import _native
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.runner.native import NativeRunner
from llmos.engine.runner.packing import plan_matrices
from llmos.engine.tensors import BLOCK_BYTES, BLOCK_LENGTH, DType, RawTensor
from support.native_pool import pool
from support.random_models import (
    BLOCK_TYPES,
    ISAS,
    K_LLAMA,
    LLAMA,
    batch_of,
    extreme_tensor,
    prompt_of,
    random_model,
    random_tensor,
    typical_error,
)

pytestmark = pytest.mark.combinations


def fit(values: np.ndarray) -> np.ndarray:
    blocks = _native.fit_q4_1(pool(), values)
    return dequantize(RawTensor("Q4_1", values.shape, blocks))


def from_smallest_to_largest(values: np.ndarray) -> np.ndarray:
    """Return the blocks rounded by the plain rule: 16 steps from the smallest value to the largest."""
    x = values.reshape(-1, 32)
    low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    d, m = ((high - low) / 15).astype(np.float16).astype(np.float32), low.astype(np.float16).astype(np.float32)
    return (np.clip(np.rint((x - m) / d), 0, 15) * d + m).reshape(values.shape)


def errors(fitted: np.ndarray, values: np.ndarray) -> np.ndarray:
    return ((fitted - values).reshape(-1, 32) ** 2).sum(axis=1)


@pytest.mark.parametrize("spread", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_fitted_blocks_have_less_error_than_16_even_steps(spread: float, offset: float) -> None:
    values = np.random.default_rng(1).normal(offset * spread, spread, (48, 96)).astype(np.float32)
    fitted, plain = errors(fit(values), values), errors(from_smallest_to_largest(values), values)
    assert fitted.sum() < 0.95 * plain.sum()
    assert np.mean(fitted <= plain * 1.02) > 0.95, "it tries the plain rule first"


def test_an_outlier_does_not_coarsen_its_whole_block() -> None:
    values = np.random.default_rng(1).normal(0, 1, (64, 32)).astype(np.float32)
    values[:, 7] = 4.5
    assert errors(fit(values), values).sum() < 0.95 * errors(from_smallest_to_largest(values), values).sum()


def test_values_on_a_grid_of_16_steps_are_exact() -> None:
    rng = np.random.default_rng(1)
    nibbles = np.stack([rng.permutation(np.arange(32) % 16) for _ in range(20)])
    d, m = rng.integers(1, 64, (20, 1)) / 64, rng.integers(-64, 64, (20, 1)) / 16
    values = (nibbles * d + m).astype(np.float32)
    np.testing.assert_allclose(fit(values), values, rtol=0, atol=1e-2 * d.max())


@pytest.mark.parametrize("value", [0.0, 0.375, -1.0])
def test_a_block_of_equal_values_is_exact(value: float) -> None:
    values = np.full((3, 64), value, np.float32)
    np.testing.assert_array_equal(fit(values), values)


def test_a_block_does_not_depend_on_the_blocks_around_it() -> None:
    values = np.random.default_rng(1).normal(0, 1, (97, 224)).astype(np.float32)
    whole = _native.fit_q4_1(pool(), values)
    for row in (0, 13, 96):
        np.testing.assert_array_equal(_native.fit_q4_1(pool(), values[row : row + 1].copy())[0], whole[row])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_nan_affects_its_block_only(value: float) -> None:
    values = np.random.default_rng(1).normal(0, 1, (4, 64)).astype(np.float32)
    values[2, 40] = value
    fitted = fit(values)
    assert np.isnan(fitted[2, 32:]).all()
    assert np.isfinite(np.delete(fitted.reshape(8, 32), 5, axis=0)).all()


@pytest.mark.parametrize("shape", [(2, 33), (2, 0)])
def test_rows_of_broken_blocks_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="whole blocks of 32"):
        _native.fit_q4_1(pool(), np.zeros(shape, np.float32))


@pytest.mark.parametrize("dtype", ["Q4_0", "Q4_1"])
def test_the_int4_option_keeps_4_bit_values_exactly(dtype: DType) -> None:
    model, batch = random_model(LLAMA, dtype), batch_of([(0, prompt_of(20, 1), [0, 1])])
    model["embed.weight"] = random_model(LLAMA, "Q8_0")["embed.weight"]
    int4, auto = (NativeRunner(LLAMA, model, num_blocks=8, weights=weights) for weights in ("int4", "auto"))
    np.testing.assert_array_equal(int4.forward(batch), auto.forward(batch))


def test_the_int4_option_keeps_floats_close_and_takes_less_memory() -> None:
    model, batch = random_model(LLAMA, "F32"), batch_of([(0, prompt_of(20, 1), [0, 1])])
    f32, int8, int4 = (NativeRunner(LLAMA, model, num_blocks=8, weights=w) for w in ("f32", "int8", "int4"))
    expected = f32.forward(batch)
    assert 0.05 < typical_error(int4.forward(batch), expected) < 0.3
    assert typical_error(int8.forward(batch), expected) < 0.05
    head_bytes = 208 * 96 * 34 // 32  # 8-bit in both: 203 rows in groups of 16
    assert int4.weight_bytes - head_bytes == pytest.approx((int8.weight_bytes - head_bytes) * 20 / 34, rel=0.02)


def test_a_nan_weight_in_4_bits_makes_its_outputs_nan() -> None:
    model = random_model(LLAMA, "F32")
    values = dequantize(model["layers.0.down.weight"])
    values[3, 5] = np.nan
    model["layers.0.down.weight"] = RawTensor("F32", values.shape, values.view(np.uint8))
    runner = NativeRunner(LLAMA, model, num_blocks=4, weights="int4")
    assert np.isnan(runner.forward(batch_of([(0, [1], [0])]))).any()


ONE_COLUMN = replace(
    K_LLAMA, vocab_size=530, hidden_size=512, num_layers=1, tied_head=False, residual_multiplier=0.0, norm_eps=1e-12
)  # fmt: skip
"""A model whose layer adds nothing: the logits of a token are its embedding, normalized, times the head."""


@pytest.mark.parametrize("num_tokens", [1, 2, 64])
@pytest.mark.parametrize("dtype", BLOCK_TYPES)
@pytest.mark.parametrize("isa", ISAS)
def test_blocks_of_a_file_are_multiplied_with_their_exact_values(dtype: DType, isa: str, num_tokens: int) -> None:
    """With one column of the input set, whose byte is 127, each logit is one weight of the head, and nothing rounds."""
    runner, expected_VC = runner_of_single_columns(dtype, isa)
    for first in range(0, 512, 37 if num_tokens < 64 else 64):
        tokens = [(first + i) % 512 for i in range(num_tokens)]
        logits_RV = runner.forward(batch_of([(0, tokens, list(range(8)))]))
        factor = 512**0.5
        np.testing.assert_allclose(
            logits_RV / factor, expected_VC[:, tokens].T, rtol=1e-5, atol=1e-5 * np.abs(expected_VC).max()
        )


@lru_cache(4)  # Tests whose parameters differ in the first one alone follow each other.
def runner_of_single_columns(dtype: DType, isa: str) -> tuple[NativeRunner, npt.NDArray[np.float32]]:
    """Return a runner in which token i sets column i of the head's input, and the weights of the head."""
    ones = np.zeros((ONE_COLUMN.vocab_size, 512), np.float32)
    np.fill_diagonal(ones, 1)
    return runner_of_a_head(ones, random_tensor(np.random.default_rng(3), ones.shape, dtype), isa)


@lru_cache(4)
def runner_of_extremes(dtype: DType, isa: str) -> tuple[NativeRunner, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return a runner with the largest inputs and weights, the inputs of each token, and the weights of the head."""
    signs = np.where(np.random.default_rng(4).random((ONE_COLUMN.vocab_size, 512)) < 0.5, -1, 1).astype(np.float32)
    signs[:3] = np.ones(512), -np.ones(512), np.where(np.arange(512) % 2, -1, 1)
    head = extreme_tensor(np.random.default_rng(5), *signs.shape, dtype)
    runner, weights_VC = runner_of_a_head(signs, head, isa)
    return runner, signs, weights_VC


def runner_of_a_head(
    inputs: npt.NDArray[np.float32], head: RawTensor, isa: str
) -> tuple[NativeRunner, npt.NDArray[np.float32]]:
    """Return a runner whose head has these inputs, one row for each token, and the weights of the head."""
    model = random_model(ONE_COLUMN, "F32")
    model["embed.weight"] = RawTensor("F32", inputs.shape, inputs.view(np.uint8))
    model["final_norm.weight"] = RawTensor("F32", (512,), np.ones((1, 512), np.float32).view(np.uint8))
    model["head.weight"] = head
    return NativeRunner(ONE_COLUMN, model, num_blocks=64, isa=isa), dequantize(head)


@pytest.mark.parametrize("num_tokens", [1, 2, 3, 9])
@pytest.mark.parametrize("dtype", BLOCK_TYPES)
@pytest.mark.parametrize("isa", ISAS)
def test_sums_of_the_largest_weights_and_inputs_do_not_overflow(dtype: DType, isa: str, num_tokens: int) -> None:
    """Every byte of the inputs is 127 or -127, and every integer of a row the largest or the smallest that there is."""
    runner, signs, head_VC = runner_of_extremes(dtype, isa)
    weights_VC = head_VC.astype(np.float64)
    logits_RV = runner.forward(batch_of([(0, list(range(num_tokens)), list(range(8)))]))
    most_V = np.abs(weights_VC).sum(axis=1)
    assert (np.abs(logits_RV - signs[:num_tokens] @ weights_VC.T) <= 1e-5 * most_V).all()


@pytest.mark.parametrize("dtype", BLOCK_TYPES)
def test_packed_weights_take_about_the_size_of_the_file(dtype: DType) -> None:
    rows, columns = 1600, 2048
    in_file = rows * columns // BLOCK_LENGTH[dtype] * BLOCK_BYTES[dtype]
    plan = plan_matrices({"layers.0.q.weight": (rows, columns)}, lambda _: dtype, lambda _: "auto")
    assert plan.num_bytes <= in_file * (1.05 if dtype != "Q3_K" else 2)
