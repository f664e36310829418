"""Every block type is dequantized exactly as by the gguf package."""

import gguf
import numpy as np
import pytest

from llmos.engine.formats.dequantize import dequantize
from llmos.engine.tensors import BLOCK_BYTES, BLOCK_LENGTH, DType, RawTensor


def random_tensor(dtype: DType, rows: int, blocks: int, seed: int) -> RawTensor:
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 256, (rows, blocks * BLOCK_BYTES[dtype]), dtype=np.uint8)
    return RawTensor(dtype, (rows, blocks * BLOCK_LENGTH[dtype]), data)


def reference(tensor: RawTensor) -> np.ndarray:
    with np.errstate(all="ignore"):
        values = gguf.dequantize(tensor.data, gguf.GGMLQuantizationType[tensor.dtype])
    return values.reshape(tensor.shape)


@pytest.mark.parametrize("dtype", BLOCK_BYTES)
@pytest.mark.parametrize("seed", range(3))
def test_random_blocks_have_the_values_of_the_gguf_package(dtype: DType, seed: int):
    tensor = random_tensor(dtype, rows=70, blocks=3, seed=seed)
    ours, theirs = dequantize(tensor), reference(tensor)
    assert ours.dtype == np.float32
    assert ours.shape == tensor.shape
    # Some random scales are infinite or NaN; those must be equal, too.
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", BLOCK_BYTES)
def test_tensors_larger_than_a_chunk_come_out_in_order(dtype: DType):
    tensor = random_tensor(dtype, rows=1100, blocks=512 // BLOCK_LENGTH[dtype], seed=9)
    np.testing.assert_array_equal(dequantize(tensor), reference(tensor))


@pytest.mark.parametrize("dtype", BLOCK_BYTES)
def test_selected_rows_keep_their_values(dtype: DType):
    tensor = random_tensor(dtype, rows=12, blocks=2, seed=1)
    values = dequantize(tensor)
    order = np.array([5, 0, 11, 5])
    np.testing.assert_array_equal(dequantize(tensor.take_rows(order)), values[order])
    np.testing.assert_array_equal(dequantize(tensor.take_rows(slice(1, 12, 3))), values[1:12:3])


def test_a_vector_and_a_stack_of_matrices_keep_their_shape():
    values = np.arange(24, dtype=np.float32)
    vector = RawTensor("F32", (24,), values.view(np.uint8).reshape(1, -1))
    stack = RawTensor("F32", (2, 3, 4), values.view(np.uint8).reshape(6, -1))
    np.testing.assert_array_equal(dequantize(vector), values)
    np.testing.assert_array_equal(dequantize(stack), values.reshape(2, 3, 4))


def test_the_values_are_a_copy_that_can_be_changed():
    data = np.arange(4, dtype=np.float32).view(np.uint8).reshape(1, -1)
    data.flags.writeable = False
    values = dequantize(RawTensor("F32", (4,), data))
    values += 1
    np.testing.assert_array_equal(values, [1, 2, 3, 4])
