"""GGUF models in parts: they are read as one, and what is missing or doesn't fit is named."""

import struct
from pathlib import Path

import numpy as np
import pytest

from llmos.core.errors import BadModelFile
from llmos.engine.checkpoint.metadata import read_metadata
from llmos.engine.checkpoint.model_files import open_model_files
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.gguf_parts import names_of_parts
from support.tiny_gguf import write_gguf, write_gguf_parts


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Path]:
    return {path.name: path for path in write_gguf_parts(tmp_path / "tiny.gguf")}


def patch(path: Path, key: str, value: int) -> None:
    """Change a metadata entry of 16 or 32 bits in place."""
    data = bytearray(path.read_bytes())
    name = struct.pack("<Q", len(key)) + key.encode()
    at = data.index(name) + len(name)
    kind = {2: "<H", 3: "<h", 4: "<I", 5: "<i"}[struct.unpack_from("<I", data, at)[0]]
    struct.pack_into(kind, data, at + 4, value)
    path.write_bytes(data)


def test_the_names_of_all_parts_follow_from_one_of_them() -> None:
    expected = [f"Q4_K_M/big-Q4_K_M-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    assert names_of_parts("Q4_K_M/big-Q4_K_M-00002-of-00003.gguf") == expected
    for whole in ("tiny.gguf", "tiny-00000-of-00003.gguf", "tiny-00004-of-00003.gguf", "tiny-1-of-3.gguf"):
        assert names_of_parts(whole) == [whole]


def test_a_model_in_parts_is_the_same_as_in_one_file(parts: dict[str, Path], tmp_path: Path) -> None:
    assert list(parts) == names_of_parts("tiny-00001-of-00003.gguf")
    whole = open_model_files({"whole.gguf": write_gguf(tmp_path / "whole.gguf")})
    split = open_model_files(dict(reversed(parts.items())))
    assert split.spec_and_sources() == whole.spec_and_sources()
    assert split.family == "llama"
    assert split.license == "mit"
    assert set(split.tensors) == set(whole.tensors)
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(dequantize(split.tensors[name]), dequantize(tensor))
    split.release_memory()
    assert read_metadata(parts).facts["llama.context_length"] == 128


def test_a_part_alone_says_what_belongs_to_it(parts: dict[str, Path]) -> None:
    path = parts["tiny-00002-of-00003.gguf"]
    with pytest.raises(BadModelFile, match=r"model\.gguf is part 2 of 3 .* belong together in one folder"):
        open_model_files({"model.gguf": path})


def test_parts_that_do_not_fit_together_are_refused(parts: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match=r"part . of 3, but there are 2 files"):
        open_model_files(dict(list(parts.items())[:2]))
    other = write_gguf(tmp_path / "other.gguf")
    with pytest.raises(BadModelFile, match=r"4 GGUF files .* choose one of them"):
        open_model_files({**parts, "other.gguf": other})
    patch(parts["tiny-00001-of-00003.gguf"], "split.tensors.count", 99)
    with pytest.raises(BadModelFile, match=r"parts have 11 tensors; .* says that there are 99"):
        open_model_files(parts)
    patch(parts["tiny-00003-of-00003.gguf"], "split.no", 1)
    with pytest.raises(BadModelFile, match="both say that they are part 2"):
        open_model_files(parts)


def test_a_tensor_in_two_parts_is_refused(parts: dict[str, Path], tmp_path: Path) -> None:
    first, third = parts["tiny-00001-of-00003.gguf"], parts["tiny-00003-of-00003.gguf"]
    third.write_bytes(first.read_bytes())
    patch(third, "split.no", 2)
    with pytest.raises(BadModelFile, match="both have the tensor"):
        open_model_files(parts)
