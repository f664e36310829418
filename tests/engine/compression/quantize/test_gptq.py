"""GPTQ of one matrix: small errors, exact where possible, and NaN never hidden."""

import gguf
import numpy as np
import pytest

from llmos.engine import _native
from llmos.engine.compression.quantize.affine import round_affine
from llmos.engine.compression.quantize.blocks import round_to_q4_0, round_to_q8_0
from llmos.engine.compression.quantize.gptq import gptq as gptq_rows
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import Affine
from llmos.engine.tensors import RawTensor

ROWS, COLUMNS = 24, 128


def correlated_inputs(rng: np.random.Generator, count: int = 600) -> np.ndarray:
    """Return inputs near a few directions, with some columns much larger than others."""
    directions = rng.normal(size=(20, COLUMNS)) * rng.lognormal(sigma=1.0, size=COLUMNS)
    return (rng.normal(size=(count, 20)) @ directions + 0.1 * rng.normal(size=(count, COLUMNS))).astype(np.float32)


def moments(inputs: np.ndarray) -> np.ndarray:
    return inputs.T @ inputs / np.float32(len(inputs))


def gptq(weights: np.ndarray, seen: np.ndarray, bits: int = 4, group: int = 32) -> RawTensor:
    affine = Affine(bits, group)
    return affine.decode(gptq_rows(weights, seen, affine), weights.shape[1])


def rounded(weights: np.ndarray) -> np.ndarray:
    """Round as the engine does while it loads a model, without any data."""
    return dequantize(RawTensor("Q4_1", weights.shape, _native.fit_q4_1(_native.Pool(1), weights)))


def representable(rng: np.random.Generator) -> np.ndarray:
    nibbles = rng.integers(0, 16, (ROWS, COLUMNS // 32, 32))
    nibbles[..., 3], nibbles[..., 20] = 0, 15
    scales = rng.integers(1, 200, (ROWS, COLUMNS // 32, 1)) / 1024
    minimums = rng.integers(-200, 200, (ROWS, COLUMNS // 32, 1)) / 256
    return (nibbles * scales + minimums).reshape(ROWS, COLUMNS).astype(np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_products_with_such_inputs_have_far_less_error_than_by_rounding(rng):
    weights, inputs = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32), correlated_inputs(rng, 1200)
    made = dequantize(gptq(weights, moments(inputs[:600])))
    for seen in (inputs[:600], inputs[600:]):
        error = np.square(seen @ (made - weights).T).mean()
        assert error < 0.1 * np.square(seen @ (rounded(weights) - weights).T).mean()


def test_without_correlation_it_has_no_more_error_than_rounding(rng):
    weights = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    made = dequantize(gptq(weights, np.eye(COLUMNS, dtype=np.float32)))
    assert np.square(made - weights).mean() <= np.square(rounded(weights) - weights).mean()


def test_a_column_that_matters_more_gets_the_smaller_error(rng):
    weights, importance = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32), np.ones(COLUMNS, np.float32)
    importance[5::32] = 1000
    error = np.abs(dequantize(gptq(weights, np.diag(importance))) - weights).mean(axis=0)
    assert error[5::32].mean() < 0.3 * error[6::32].mean()


def test_weights_that_fit_into_blocks_are_exact(rng):
    weights = representable(rng)
    # A minimum near zero has more digits than the float32 sums that it is made of.
    np.testing.assert_allclose(dequantize(gptq(weights, moments(correlated_inputs(rng)))), weights, atol=1e-5)


def test_the_bytes_are_valid_q4_1(rng):
    made = gptq(rng.normal(size=(ROWS, COLUMNS)).astype(np.float32), moments(correlated_inputs(rng)))
    theirs = gguf.quants.dequantize(made.data, gguf.GGMLQuantizationType.Q4_1)
    np.testing.assert_array_equal(dequantize(made), theirs)


def test_rows_are_independent(rng):
    weights, seen = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32), moments(correlated_inputs(rng))
    alone = [dequantize(gptq(weights[rows], seen)) for rows in (slice(0, 8), slice(8, None))]
    # Sums of another number of rows may end in another digit, and a value between two nibbles fall to the other side.
    assert (np.concatenate(alone) == dequantize(gptq(weights, seen))).mean() > 0.95


def test_the_result_is_deterministic(rng):
    weights, seen = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32), moments(correlated_inputs(rng))
    np.testing.assert_array_equal(gptq(weights, seen).data, gptq(weights, seen).data)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_nan_weight_shows_in_its_row_only(rng, value):
    weights = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    weights[2, 70] = value
    made = dequantize(gptq(weights, moments(correlated_inputs(rng))))
    assert not np.isfinite(made[2, 64:96]).any()
    assert np.isfinite(np.delete(made, 2, axis=0)).all()


def test_columns_without_inputs_are_no_error(rng):
    weights, seen = representable(rng), moments(correlated_inputs(rng))
    seen[40:50], seen[:, 40:50] = 0, 0
    for some in (seen, np.zeros_like(seen)):
        np.testing.assert_allclose(dequantize(gptq(weights, some)), weights, atol=1e-5)


def test_moments_that_are_not_finite_are_refused(rng):
    seen = moments(correlated_inputs(rng))
    seen[3, 3] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        gptq(np.ones((ROWS, COLUMNS), np.float32), seen)


def test_blocks_of_equal_values_stay_equal(rng):
    weights = np.full((ROWS, COLUMNS), 0.25, np.float32)
    np.testing.assert_array_equal(dequantize(gptq(weights, moments(correlated_inputs(rng)))), weights)


def test_q8_0_equals_the_gguf_package(rng):
    values = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    values[0, :32] = 0
    theirs = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
    np.testing.assert_array_equal(round_to_q8_0(values).data, theirs)


def test_q8_0_does_not_hide_nan():
    values = np.ones((2, 64), np.float32)
    values[1, 40], values[0, 3] = np.nan, np.inf
    made = dequantize(round_to_q8_0(values))
    assert not np.isfinite(made[1, 32:]).any()
    assert not np.isfinite(made[0, :32]).all()
    assert (made[1, :32] == made[0, 32:]).all()


@pytest.mark.parametrize(("bits", "group"), [(2, 32), (3, 64), (5, 16), (8, 128)])
def test_other_bits_and_groups_have_less_error_than_rounding(rng, bits, group):
    weights, inputs = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32), correlated_inputs(rng)
    affine = Affine(bits, group)
    nearest = affine.decode(round_affine(weights, np.ones(COLUMNS, np.float32), affine), COLUMNS)
    error, of_rounding = (
        np.square(inputs @ (dequantize(made) - weights).T).mean()
        for made in (gptq(weights, moments(inputs), bits, group), nearest)
    )
    assert error < 0.35 * of_rounding


def test_q4_0_equals_the_gguf_package(rng):
    values = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    values[0, :32] = 0
    theirs = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q4_0)
    np.testing.assert_array_equal(round_to_q4_0(values).data, theirs)
