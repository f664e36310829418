"""Sparse matrices: kept weights are exact, all others are zero, and damaged bytes are rejected."""

import json

import gguf
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from llmos.core.errors import BadModelFile
from llmos.engine.compression.prune.masks import keep_share, keep_two_of_four
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encoded import Descriptor, Part, format_descriptors, parse_descriptors
from llmos.engine.formats.sparse import SPARSE_DTYPES, Sparse
from llmos.engine.tensors import BLOCK_LENGTH, RawTensor
from support.examples import examples


def matrix(dtype: str, num_rows: int, num_columns: int, seed: int) -> RawTensor:
    values = np.random.default_rng(seed).normal(size=(num_rows, num_columns)).astype(np.float32)
    data = gguf.quants.quantize(values, gguf.GGMLQuantizationType[dtype])
    return RawTensor(dtype, values.shape, np.ascontiguousarray(data).view(np.uint8).reshape(num_rows, -1))


matrices = st.builds(
    lambda dtype, rows, blocks, seed: matrix(dtype, rows, blocks * max(BLOCK_LENGTH[dtype], 4), seed),
    st.sampled_from(SPARSE_DTYPES), st.integers(1, 7), st.integers(1, 5), st.integers(0, 1000),
)  # fmt: skip


def two_of_four(dtype: str, num_columns: int) -> Sparse:
    return Sparse(dtype, num_columns // 2, "2:4")


@given(matrices, st.floats(0, 1))
def test_kept_weights_are_exact_and_the_others_are_zero(tensor, sparsity):
    values = dequantize(tensor)
    kept = keep_share(np.abs(values), sparsity)
    encoding = Sparse(tensor.dtype, int(kept[0].sum()), "bits")
    data = encoding.encode(tensor, kept)
    assert data.shape == (tensor.num_rows, encoding.row_bytes(tensor.num_columns))
    back = encoding.decode(data, tensor.num_columns)
    assert back.dtype == encoding.dtype(tensor.num_columns) == ("F32" if tensor.dtype == "Q4_1" else tensor.dtype)
    np.testing.assert_array_equal(dequantize(back), np.where(kept, values, 0))


@given(matrices)
def test_two_of_four_weights_are_exact_in_less_memory(tensor):
    values = dequantize(tensor)
    kept = keep_two_of_four(np.abs(values))
    encoding = two_of_four(tensor.dtype, tensor.num_columns)
    data = encoding.encode(tensor, kept)
    assert data.shape == (tensor.num_rows, encoding.row_bytes(tensor.num_columns))
    assert encoding.row_bytes(tensor.num_columns) <= Sparse(tensor.dtype, encoding.kept, "bits").row_bytes(
        tensor.num_columns
    )
    np.testing.assert_array_equal(dequantize(encoding.decode(data, tensor.num_columns)), np.where(kept, values, 0))


@pytest.mark.parametrize("dtype", SPARSE_DTYPES)
@pytest.mark.parametrize("mask_format", ["bits", "2:4"])
def test_half_of_the_weights_take_clearly_less_memory_than_all(dtype, mask_format):
    dense = matrix(dtype, 1, 96, 0).data.nbytes
    assert Sparse(dtype, 48, mask_format).row_bytes(96) <= 0.82 * dense


@given(matrices, st.integers(0, 4))
def test_a_descriptor_gives_the_same_encoding(tensor, kept):
    described = {"q": Descriptor(tensor.shape, (Part(Sparse(tensor.dtype, kept, "bits"), tensor.num_rows),))}
    assert parse_descriptors(format_descriptors(described), "a file") == described


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "Q6_K"}, {"kind": ["F32"]}, {"kept": -1}, {"kept": 2.0}, {"kept": True}, {"kept": 97}, {"kept": 40},
        {"places": "1:4"}, {"places": None},
    ],
)  # fmt: skip
def test_an_invalid_descriptor_is_rejected(wrong):
    part = Sparse("Q8_0", 48, "2:4").fields() | wrong
    with pytest.raises(BadModelFile, match="a file is damaged: in the descriptor of tensor 'q'"):
        parse_descriptors(json.dumps({"q": {"shape": [3, 96], "parts": [{"rows": 3, **part}]}}), "a file")


@pytest.mark.parametrize(("kept", "mask_format", "num_columns"), [(97, "bits", 96), (40, "2:4", 96), (24, "bits", 48)])
def test_an_impossible_shape_is_rejected(kept, mask_format, num_columns):
    with pytest.raises(ValueError):
        Sparse("Q8_0", kept, mask_format).row_bytes(num_columns)


@settings(max_examples=examples(200))
@given(st.data())
def test_damaged_bytes_are_rejected_or_give_a_matrix_of_that_shape(data):
    tensor = matrix("Q8_0", 3, 96, 0)
    kept = keep_two_of_four(np.abs(dequantize(tensor)))
    encoding = Sparse("Q8_0", 48, data.draw(st.sampled_from(["bits", "2:4"])))
    damaged = encoding.encode(tensor, kept)
    damaged.reshape(-1)[data.draw(st.integers(0, damaged.size - 1))] = data.draw(st.integers(0, 255))
    try:
        back = encoding.decode(damaged, 96)
    except BadModelFile:
        return
    assert dequantize(back).shape == tensor.shape
