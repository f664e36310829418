"""Files that are written are read back the same, by our own reader and by the gguf package."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from llmos.engine.formats.gguf import GGUFFile
from llmos.engine.tensors import RawTensor
from support.gguf_files import write_gguf

METADATA = {
    "general.architecture": "llama", "small": 7, "large": 2**40, "below": -3, "far_below": -(2**40), "half": 0.5,
    "exact": 0.1, "yes": True, "text": "人生 😀", "words": ["a", "", "人"], "numbers": [1, 2, 3], "signs": [1, -1],
    "wide": [2**40], "fractions": [0.25, -1.0, float("-inf")], "answers": [True, False], "empty": [],
    "nested": [[1], [2, 3]],
}  # fmt: skip


def tensor(rows: int, columns: int) -> RawTensor:
    values = np.random.default_rng(rows).normal(size=(rows, columns)).astype(np.float32)
    return RawTensor("F32", (rows, columns), values.view(np.uint8))


def test_metadata_and_tensors_are_read_back(tmp_path: Path):
    tensors = {
        "a.weight": tensor(3, 5),
        "b.weight": RawTensor("Q4_1", (2, 64), np.arange(80, dtype=np.uint8).reshape(2, 40)),
        "b.bias": RawTensor("F32", (3,), np.arange(3, dtype=np.float32)[None].view(np.uint8)),
    }
    path = tmp_path / "model.gguf"
    write_gguf(path, METADATA, tensors)
    file = GGUFFile(path)
    assert file.version == 3
    assert file.metadata == METADATA
    assert list(file.tensors) == list(tensors)
    for name, written in tensors.items():
        assert (file.tensors[name].dtype, file.tensors[name].shape) == (written.dtype, written.shape)
        np.testing.assert_array_equal(file.tensors[name].data, written.data)
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_metadata_have_the_types_that_llama_cpp_requires(tmp_path: Path):
    path = tmp_path / "model.gguf"
    write_gguf(path, METADATA, {"a.weight": tensor(1, 1)})
    fields = gguf.GGUFReader(path).fields
    kinds = {key: [kind.name for kind in fields[key].types] for key in METADATA if key != "nested"}
    assert kinds["small"] == ["UINT32"]
    assert kinds["half"] == ["FLOAT32"]
    assert kinds["exact"] == ["FLOAT64"]
    assert kinds["large"] == ["UINT64"]
    assert kinds["below"] == ["INT32"]
    assert kinds["yes"] == ["BOOL"]
    assert kinds["numbers"] == ["ARRAY", "INT32"]
    assert kinds["fractions"] == ["ARRAY", "FLOAT32"]
    assert kinds["words"] == ["ARRAY", "STRING"]


@pytest.mark.parametrize("value", [None, 2**64, ["a", 1], [1, 0.5], {"a": 1}])
def test_a_value_without_a_gguf_type_is_rejected_and_leaves_no_file(tmp_path: Path, value: object):
    with pytest.raises(ValueError, match="no GGUF type holds"):
        write_gguf(tmp_path / "model.gguf", {"key": value}, {})
    assert not list(tmp_path.iterdir())


def test_an_older_file_is_replaced_only_by_a_complete_one(tmp_path: Path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"old")
    with pytest.raises(ValueError):
        write_gguf(path, {"key": None}, {})
    assert path.read_bytes() == b"old"
    write_gguf(path, {}, {})
    assert GGUFFile(path).metadata == {}
