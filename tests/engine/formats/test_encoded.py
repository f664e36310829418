"""Encoded tensors: rows are decoded on access, and bytes that don't match their descriptor are rejected."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest

from llmos.core.errors import BadModelFile
from llmos.engine.compression.quantize.absmax import round_absmax
from llmos.engine.compression.quantize.affine import round_affine
from llmos.engine.compression.quantize.minmax import round_minmax
from llmos.engine.formats import encoded
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encoded import Descriptor, Part, encoded_tensor, format_descriptors, parse_descriptors
from llmos.engine.formats.encodings import AbsMax, Affine, Blocks, MinMax
from llmos.engine.formats.gguf import GGUFFile
from llmos.engine.formats.gguf_writer import open_gguf_writer
from llmos.engine.formats.safetensors import open_safetensors
from llmos.engine.formats.safetensors_writer import open_safetensors_writer
from llmos.engine.formats.tensor_file import TensorHeader

ROWS, COLUMNS = 12, 64
WEIGHTS = np.random.default_rng(5).normal(size=(ROWS, COLUMNS)).astype(np.float32)

ENCODED = {
    "minmax": (MinMax(3, 16), round_minmax(WEIGHTS, MinMax(3, 16))),
    "absmax": (AbsMax(8, None), round_absmax(WEIGHTS, AbsMax(8, None))),
    "affine": (Affine(4, 32), round_affine(WEIGHTS, np.ones(COLUMNS, np.float32), Affine(4, 32))),
    "floats": (Blocks("F32"), WEIGHTS.view(np.uint8)),
}


class InMemory:
    """The payload of a tensor that lies in no file."""

    def __init__(self, array: np.ndarray) -> None:
        self._array, self.size = array, array.size

    def read(self, begin: int, end: int) -> np.ndarray:
        return self._array[begin:end]


def tensor_of(*names: str) -> encoded.EncodedTensor:
    parts = tuple(Part(ENCODED[name][0], ROWS) for name in names)
    payload = np.concatenate([ENCODED[name][1].reshape(-1) for name in names])
    return encoded_tensor("t", Descriptor((ROWS * len(names), COLUMNS), parts), InMemory(payload), "file")


@pytest.mark.parametrize("names", [("minmax",), ("absmax",), ("affine",), ("minmax", "floats"), ("affine", "minmax")])
@pytest.mark.parametrize("rows", [slice(2, 9), slice(0, 0), slice(1, 11, 3), slice(8, 20), np.array([5, 0, 11])])
def test_some_rows_equal_those_rows_of_the_whole(names, rows):
    tensor = tensor_of(*names)
    expected = dequantize(tensor)[rows]
    assert expected.shape[1] == COLUMNS
    np.testing.assert_array_equal(dequantize(tensor.take_rows(rows)), expected)


def test_rows_are_decoded_to_types_that_the_engine_runs_directly():
    assert [tensor_of(name).dtype for name in ENCODED] == ["F32", "Q8_0", "Q4_1", "F32"]
    assert tensor_of("affine", "absmax").dtype == "F32"
    assert tensor_of("minmax").storage_type == "minmax 3 bits"


def test_descriptors_are_parsed_as_they_were_formatted():
    parts = tuple(Part(encoding, ROWS) for encoding, _ in ENCODED.values())
    written = {
        "a": Descriptor((ROWS * 4, COLUMNS), parts),
        "b": Descriptor((3, 2, 32), (Part(MinMax(5, None, -0.1, 1 / 3), 6),)),
    }
    assert parse_descriptors(format_descriptors(written), "file") == written


@pytest.mark.parametrize("kind", ["gguf", "safetensors"])
def test_a_file_may_have_encoded_and_plain_tensors(kind, tmp_path):
    encoding, rows = ENCODED["minmax"]
    descriptor = Descriptor((ROWS, COLUMNS), (Part(encoding, ROWS),))
    metadata = {encoded.KEY: format_descriptors({"small": descriptor})}
    kinds = {
        "small": TensorHeader(None, (ROWS, COLUMNS), rows.nbytes),
        "plain": TensorHeader("F32", (ROWS, COLUMNS), WEIGHTS.nbytes),
    }
    path = tmp_path / "file"
    with (open_gguf_writer if kind == "gguf" else open_safetensors_writer)(path, metadata, kinds) as file:
        file.write("plain", 0, WEIGHTS.view(np.uint8))
        for row in reversed(range(ROWS)):  # in any order
            file.write("small", row * rows.shape[1], rows[row : row + 1])
    tensors = GGUFFile(path).tensors if kind == "gguf" else open_safetensors(path, "file")
    np.testing.assert_array_equal(dequantize(tensors["plain"]), WEIGHTS)
    np.testing.assert_array_equal(dequantize(tensors["small"]), dequantize(tensor_of("minmax")))
    assert tensors["small"].shape == (ROWS, COLUMNS)


def part(**fields: object) -> dict[str, object]:
    return {"rows": ROWS, "encoding": "minmax", "bits": 3, "group": 16, **fields}


@pytest.mark.parametrize(
    ("descriptor", "reason"),
    [
        (7, "the value is not an object"),
        ({"shape": [ROWS], "parts": [part()]}, "the shape is"),
        ({"shape": [ROWS, 0], "parts": [part()]}, "the shape is"),
        ({"shape": [ROWS, True], "parts": [part()]}, "the shape is"),
        ({"shape": [1 << 30, 1 << 20], "parts": [part()]}, "is too large"),
        ({"shape": [ROWS, COLUMNS], "parts": []}, "not a list of objects"),
        ({"shape": [ROWS, COLUMNS], "parts": [part(rows=-1)]}, "a part has -1 rows"),
        (
            {"shape": [ROWS, COLUMNS], "parts": [part(rows=ROWS + 1)]},
            "the numbers of rows of the parts and the shape differ",
        ),
        ({"shape": [ROWS, COLUMNS], "parts": [part(encoding="zip")]}, "there is no encoding 'zip'"),
        ({"shape": [ROWS, COLUMNS], "parts": [part(bits=1)]}, "bits is 1"),
        ({"shape": [ROWS, COLUMNS], "parts": [part(bits=9)]}, "bits is 9"),
        ({"shape": [ROWS, COLUMNS], "parts": [part(bits="3")]}, "bits is '3'"),
        ({"shape": [ROWS, COLUMNS], "parts": [part(group=0)]}, "group is 0"),
        ({"shape": [ROWS, COLUMNS], "parts": [part(group=48)]}, "not divisible into groups of 48"),
        ({"shape": [ROWS, COLUMNS], "parts": [part(low=0.5)]}, "low and high are not numbers"),
        ({"shape": [ROWS, COLUMNS], "parts": [part(low=float("nan"), high=1.0)]}, "low and high are not numbers"),
        ({"shape": [ROWS, COLUMNS], "parts": [part(encoding="absmax", bits=5)]}, "bits is 5"),
        ({"shape": [ROWS, 40], "parts": [part(encoding="Q8_0")]}, "not divisible into groups of 32"),
    ],
)
def test_an_invalid_descriptor_is_rejected_with_the_reason(descriptor, reason):
    with pytest.raises(BadModelFile, match=r"file is damaged: in the descriptor of tensor 't', ") as error:
        parse_descriptors(json.dumps({"t": descriptor}), "file")
    assert reason in error.value.message


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, 7, None])
def test_text_that_is_no_json_object_is_rejected(text):
    with pytest.raises(BadModelFile, match=r"its llmos.encodings is not a JSON object"):
        parse_descriptors(text, "file")


def test_too_few_bytes_are_rejected(tmp_path: Path):
    encoding, rows = ENCODED["minmax"]
    descriptor = Descriptor((ROWS, COLUMNS), (Part(encoding, ROWS),))
    with pytest.raises(BadModelFile, match=r"should have 672 bytes and has 671"):
        encoded_tensor("t", descriptor, InMemory(rows.reshape(-1)[:-1]), "file")


def test_an_unfinished_file_is_removed(tmp_path):
    kinds = {"plain": TensorHeader("F32", (ROWS, COLUMNS), WEIGHTS.nbytes)}
    with contextlib.suppress(KeyboardInterrupt), open_gguf_writer(tmp_path / "file", {}, kinds) as file:
        file.write("plain", 0, WEIGHTS.view(np.uint8))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
