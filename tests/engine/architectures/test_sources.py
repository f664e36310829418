"""Loading a tensor from its source keeps every value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.engine.architectures import Source
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.tensors import BLOCK_BYTES, RawTensor

DTYPES = {"F32": np.float32, "F16": np.float16}


def raw(values: np.ndarray, dtype: str = "F32") -> RawTensor:
    num_rows = int(np.prod(values.shape[:-1]))
    data = np.ascontiguousarray(values.astype(DTYPES[dtype])).view(np.uint8).reshape(num_rows, -1)
    return RawTensor(dtype, values.shape, data)


def numbered(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_rows_are_a_view_of_the_file():
    tensor = raw(numbered(6, 4))
    part = Source("fused", rows=slice(2, 5)).load(tensor)
    assert np.shares_memory(part.data, tensor.data)
    assert np.array_equal(dequantize(part), numbered(6, 4)[2:5])


def test_a_whole_tensor_is_a_view_of_the_file():
    for tensor in (raw(numbered(6, 4)), raw(numbered(6))):
        assert np.shares_memory(Source("x").load(tensor).data, tensor.data)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_transposed_part_of_a_fused_tensor(dtype):
    part = Source("fused", transpose=True, rows=slice(3, 6)).load(raw(numbered(4, 9), dtype))
    assert (part.dtype, part.shape) == (dtype, (3, 4))
    assert np.array_equal(dequantize(part), numbered(4, 9).T[3:6])


def test_a_part_of_a_fused_bias():
    part = Source("fused", rows=slice(3, 6)).load(raw(numbered(9)))
    assert (part.shape, part.data.shape) == ((3,), (1, 12))
    assert np.array_equal(dequantize(part), [3, 4, 5])


def test_blocks_are_dequantized_before_they_are_transposed():
    blocks = np.zeros((2, BLOCK_BYTES["Q8_0"]), np.uint8)
    blocks[:, :2] = np.array([1.0, 0.5], np.float16)[:, None].view(np.uint8)
    blocks[:, 2:] = np.arange(32, dtype=np.uint8)
    turned = Source("x", transpose=True).load(RawTensor("Q8_0", (2, 32), blocks))
    assert (turned.dtype, turned.shape) == ("F32", (32, 2))
    assert np.array_equal(dequantize(turned), np.arange(32)[:, None] * [1.0, 0.5])


def test_reordering_heads_moves_whole_rows_of_quantized_blocks():
    # Two heads of four rows, interleaved: pairs (0, 1) and (2, 3).
    tensor = RawTensor("Q8_0", (8, 32), np.arange(8, dtype=np.uint8).repeat(34).reshape(8, 34))
    loaded = Source("x", permute_heads=2).load(tensor)
    assert loaded.dtype == "Q8_0"
    assert loaded.data[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


@given(heads=st.integers(1, 5), pairs=st.integers(1, 6), columns=st.integers(1, 3), as_bias=st.booleans())
def test_reordering_heads_undoes_the_converters_permutation(heads, pairs, columns, as_bias):
    values = numbered(heads * pairs * 2) if as_bias else numbered(heads * pairs * 2, columns)
    # `LlamaModel.permute` of llama.cpp's convert_hf_to_gguf.py
    converted = values.reshape(heads, 2, pairs, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)
    assert np.array_equal(dequantize(Source("x", permute_heads=heads).load(raw(converted))), values)
