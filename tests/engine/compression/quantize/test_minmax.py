"""Min-max follows its formula exactly, with at most half a step of error; absmax is symmetric."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from llmos.engine.compression.quantize.absmax import round_absmax
from llmos.engine.compression.quantize.minmax import round_minmax
from llmos.engine.formats.bits import pack, packed_bytes, unpack
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import AbsMax, MinMax

values = st.floats(-1e4, 1e4, width=32, allow_subnormal=False)
matrices = st.tuples(st.integers(1, 4), st.sampled_from([8, 24, 64])).flatmap(
    lambda shape: arrays(np.float32, shape, elements=values)
)
bits_of = st.integers(2, 8)


def whole(encoding: MinMax, weights: np.ndarray) -> MinMax:
    """Return the encoding, with the range filled in if it is per tensor."""
    return MinMax(encoding.bits, None, float(weights.min()), float(weights.max()))


def ends(weights: np.ndarray, per: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the values grouped by range, and the smallest and the largest of each range."""
    shape = {"tensor": (1, -1), "channel": (len(weights), -1), "group": (-1, 8)}[per]
    grouped = weights.reshape(shape).astype(np.float64)
    return grouped, grouped.min(axis=1, keepdims=True), grouped.max(axis=1, keepdims=True)


def encoding_for(weights: np.ndarray, bits: int, per: str) -> MinMax:
    plain = MinMax(bits, 8 if per == "group" else None)
    return whole(plain, weights) if per == "tensor" else plain


@given(matrices, bits_of, st.sampled_from(["tensor", "channel", "group"]))
def test_the_error_is_at_most_half_a_step(weights, bits, per):
    encoding = encoding_for(weights, bits, per)
    made = dequantize(encoding.decode(round_minmax(weights, encoding), weights.shape[1]))
    grouped, low, high = ends(weights, per)
    # Q' is a 32-bit float: beside the bound there is what rounding to it takes.
    bound = (high - low) / (2 * (2**bits - 1)) + np.spacing(np.maximum(abs(low), abs(high)).astype(np.float32))
    assert (np.abs(made.reshape(grouped.shape) - grouped) <= bound).all()


@given(matrices, bits_of)
def test_the_ends_of_a_range_and_equal_values_are_exact(weights, bits):
    encoding = MinMax(bits)
    made = dequantize(encoding.decode(round_minmax(weights, encoding), weights.shape[1]))
    np.testing.assert_array_equal(made.min(axis=1), weights.min(axis=1))
    np.testing.assert_allclose(made.max(axis=1), weights.max(axis=1), atol=1e-6 * np.abs(weights).max())
    same = np.full_like(weights, weights[0, 0])
    np.testing.assert_array_equal(dequantize(encoding.decode(round_minmax(same, encoding), same.shape[1])), same)


@given(matrices, bits_of)
def test_rounding_twice_changes_nothing(weights, bits):
    encoding = MinMax(bits)
    rows = round_minmax(weights, encoding)
    made = dequantize(encoding.decode(rows, weights.shape[1]))
    again = dequantize(encoding.decode(round_minmax(made, encoding), weights.shape[1]))
    np.testing.assert_allclose(again, made, atol=1e-6 * max(np.abs(weights).max(), 1e-30))


@given(st.integers(1, 70), bits_of, st.integers(0, 2**32 - 1))
def test_a_row_takes_no_more_bits_than_needed(columns, bits, seed):
    levels = np.random.default_rng(seed).integers(0, 2**bits, (3, columns), np.uint8)
    packed = pack(levels, bits)
    assert packed.shape == (3, packed_bytes(columns, bits)) == (3, -(-columns * bits // 8))
    np.testing.assert_array_equal(unpack(packed, columns, bits), levels)


@given(matrices, st.sampled_from([(8, None), (8, 8), (4, 8)]))
def test_symmetric_rounding_has_half_a_step_of_error_and_keeps_zero_and_sign(weights, size):
    encoding = AbsMax(*size)
    weights = np.clip(weights, -6e4, 6e4)
    weights[0, 0] = 0
    top = 2 ** (encoding.bits - 1) - 1
    grouped = weights.reshape(len(weights), -1, encoding.group or weights.shape[1])
    steps = np.abs(grouped).max(axis=2, keepdims=True) / top
    if (steps[steps > 0] < 1e-4).any():  # where 16 bits have a scale's digits no more
        return
    made = dequantize(encoding.decode(round_absmax(weights, encoding), weights.shape[1])).reshape(grouped.shape)
    # The scale has 11 bits of its own.
    assert (np.abs(made - grouped) <= steps / 2 + np.abs(grouped) / 2**10).all()
    assert made.reshape(weights.shape)[0, 0] == 0
    assert (made * grouped >= 0).all()


@pytest.mark.parametrize(
    ("bits", "group", "dtype"), [(8, None, "Q8_0"), (8, 64, "Q8_0"), (4, 32, "Q4_0"), (8, 8, "F32")]
)
def test_symmetric_rows_become_ggml_blocks_if_the_sizes_agree(bits, group, dtype):
    weights = np.random.default_rng(3).normal(size=(5, 128)).astype(np.float32)
    encoding = AbsMax(bits, group)
    made = encoding.decode(round_absmax(weights, encoding), 128)
    assert made.dtype == dtype
    top, size = 2 ** (bits - 1) - 1, group or 128
    grouped = weights.reshape(5, -1, size)
    d = (np.abs(grouped).max(axis=2, keepdims=True) / top).astype(np.float16).astype(np.float32)
    expected = np.clip(np.rint(grouped / d), -top, top) * d
    np.testing.assert_allclose(dequantize(made), expected.reshape(5, 128), rtol=1e-6)


def exact_level(value: float, low: float, high: float, bits: int) -> int:
    if low == high:
        return 0
    return round((Fraction(value) - Fraction(low)) / (Fraction(high) - Fraction(low)) * (2**bits - 1))  # half to even


def weights_of(kind: str) -> np.ndarray:
    random = np.random.default_rng(7)
    if kind == "normal":
        return random.normal(0, 0.02, (6, 64)).astype(np.float32)
    if kind == "bfloat16":  # many values are halfway between two levels
        return (random.normal(0, 0.02, (6, 64)).astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
    if kind == "integers":
        return random.integers(-30, 31, (6, 64)).astype(np.float32)
    if kind == "ties":  # every second value is exactly halfway between two levels, for all numbers of bits
        return (np.arange(6 * 64).reshape(6, 64) % 511 / 2).astype(np.float32)
    assert kind == "far apart"
    return (random.normal(0, 1, (6, 64)) * 10.0 ** random.integers(-30, 30, (6, 64))).astype(np.float32)


@given(matrices, bits_of)
def test_levels_of_any_values_are_those_of_exact_arithmetic(weights, bits):
    made = unpack(np.ascontiguousarray(round_minmax(weights, MinMax(bits))[:, 8:]), weights.shape[1], bits)
    for row, levels in zip(weights.tolist(), made.tolist(), strict=True):
        assert levels == [exact_level(value, min(row), max(row), bits) for value in row]


@pytest.mark.parametrize("kind", ["normal", "bfloat16", "integers", "ties", "far apart"])
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("per", ["tensor", "channel", "group"])
def test_levels_are_those_of_exact_arithmetic(kind: str, bits: int, per: str):
    weights = weights_of(kind)
    whole = {"low": float(weights.min()), "high": float(weights.max())} if per == "tensor" else {}
    encoding = MinMax(bits, group=16 if per == "group" else None, **whole)
    made = unpack(round_minmax(weights, encoding)[:, -packed_bytes(64, bits) :], 64, bits)
    groups = [(row, slice(g, g + 16)) for row in range(6) for g in range(0, 64, 16)]
    for row, columns in groups if per == "group" else [(row, slice(0, 64)) for row in range(6)]:
        values = weights[row, columns].tolist()
        low, high = (whole["low"], whole["high"]) if whole else (min(values), max(values))
        assert made[row, columns].tolist() == [exact_level(value, low, high, bits) for value in values]
