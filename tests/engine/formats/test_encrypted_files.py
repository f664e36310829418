"""Encrypted files of weights: tensors are those of the plain file, read by ranges, and what was changed is refused."""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from llmos.core.encryption import sealed_file
from llmos.core.encryption.sealed_path import CHUNK_BYTES, SealedPath
from llmos.core.errors import BadModelFile, StoreFailed
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.checkpoint.description import describe
from llmos.engine.formats import file_bytes
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.file_bytes import open_bytes
from llmos.engine.formats.gguf import GGUFFile
from llmos.engine.formats.safetensors import open_safetensors
from llmos.engine.tensors import RawTensor
from support.encryption import seal_copy
from support.tiny_folders import write_folder
from support.tiny_gguf import write_gguf
from support.tiny_models import make_tiny_model


def sealed(files: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    folder.mkdir()
    return {name: seal_copy(path, folder / name.replace("/", "-")) for name, path in files.items()}


def files_in(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def count_bytes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return a function that returns how many plain bytes were decrypted so far."""
    counts = [0]
    unseal = sealed_file.unseal

    def counting(*arguments: bytes) -> bytes:
        plain = unseal(*arguments)
        counts[0] += len(plain)
        return plain

    monkeypatch.setattr(sealed_file, "unseal", counting)
    return lambda: counts[0]


@pytest.mark.torch
@pytest.mark.parametrize("name", ["llama-tied-wide", "gpt2", "phi3", "mixtral", "gpt_oss", "granitemoehybrid-experts"])
def test_a_model_has_the_same_tensors_and_description(tmp_path: Path, name: str) -> None:
    make_tiny_model(name, tmp_path / "plain")
    plain = files_in(tmp_path / "plain")
    encrypted = sealed(plain, tmp_path / "sealed")
    assert describe(encrypted) == describe(plain)
    expected, found = open_checkpoint(plain).tensors, open_checkpoint(encrypted).tensors
    assert [*expected] == [*found]
    for each in expected:
        assert found[each].dtype == expected[each].dtype
        assert found[each].shape == expected[each].shape
        assert found[each].data_shape == expected[each].data.shape
        np.testing.assert_array_equal(found[each].data, expected[each].data)


def test_a_gguf_file_has_the_same_metadata_and_tensors(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    plain, encrypted = GGUFFile(path), GGUFFile(seal_copy(path, tmp_path / "sealed"), "tiny.gguf")
    assert encrypted.metadata == plain.metadata
    for name, tensor in plain.tensors.items():
        np.testing.assert_array_equal(encrypted.tensors[name].data, tensor.data)


def test_a_header_that_is_longer_than_the_first_piece_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    expected = GGUFFile(path)
    sealed_copy = seal_copy(path, tmp_path / "sealed")
    for length in (1, 5, 100, 1000, 4001):
        monkeypatch.setattr(file_bytes, "_FIRST_PREFIX", length)
        found = GGUFFile(sealed_copy, "tiny.gguf")
        assert found.metadata == expected.metadata
        assert [*found.tensors] == [*expected.tensors]


def test_only_the_rows_that_are_asked_for_are_decrypted(tmp_path: Path, count_bytes: Callable[[], int]) -> None:
    rows, columns = 4096, 1024
    values = np.arange(rows * columns, dtype="<f4").reshape(rows, columns)
    path = tmp_path / "model.safetensors"
    header = json.dumps({"w": {"dtype": "F32", "shape": [rows, columns], "data_offsets": [0, values.nbytes]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + values.tobytes())
    tensor = open_safetensors(seal_copy(path, tmp_path / "sealed"), "model.safetensors")["w"]
    before = count_bytes()
    assert tensor.shape == (rows, columns)
    assert tensor.take_rows(slice(10, 4000)).take_rows(slice(5, 3000)).shape == (2995, columns)
    assert count_bytes() == before
    np.testing.assert_array_equal(dequantize(tensor.take_rows(slice(1000, 1002))), values[1000:1002])
    assert count_bytes() - before <= 2 * CHUNK_BYTES
    np.testing.assert_array_equal(dequantize(tensor.take_rows(np.array([7, 3]))), values[[7, 3]])
    np.testing.assert_array_equal(dequantize(tensor.take_rows(slice(0, rows, 1000))), values[::1000])


def test_a_description_decrypts_no_weights(tmp_path: Path, count_bytes: Callable[[], int]) -> None:
    plain = files_in(write_folder(tmp_path / "plain", config={"vocab_size": 64}))
    weights = np.zeros(8 * CHUNK_BYTES, np.uint8)
    path = plain["model.safetensors"]
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + size])
    end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    header["unused.weight"] = {"dtype": "U8", "shape": [weights.size], "data_offsets": [end, end + weights.size]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + path.read_bytes()[8 + size :] + weights.tobytes())
    encrypted = sealed(plain, tmp_path / "sealed")
    before = count_bytes()
    assert describe(encrypted) == describe(plain)
    assert count_bytes() - before < weights.size


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, "its tensors have 4 bytes, and 8 follow"),
        (
            {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in ("a", "b")},
            "tensor 'b' is not where the one before it ends",
        ),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, "tensor 'a' is not where"),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 8]}}, "its header is invalid"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}, "tensor 'a' is not where the header says"),
        ({"a": "b"}, "its header is invalid"),
        ([], "its header is invalid"),
    ],
)
def test_a_header_that_contradicts_the_file_is_refused(tmp_path: Path, entries: object, problem: str) -> None:
    text = json.dumps(entries).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"12345678")
    with pytest.raises(BadModelFile, match=problem):
        open_safetensors(seal_copy(path, tmp_path / "sealed"), "model.safetensors")


FRAME = 4 + 12 + CHUNK_BYTES + 16


def swap_two(content: bytes) -> bytes:
    first, second, third = 8, 8 + FRAME, 8 + 2 * FRAME
    return content[:first] + content[second:third] + content[first:second] + content[third:]


def change_a_bit(content: bytes) -> bytes:
    place = 8 + FRAME + 100
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "swapped": swap_two,
    "cut short": lambda content: content[:-1],
    "cut at a chunk": lambda content: content[: 8 + 2 * FRAME],
    "left out": lambda content: content[: 8 + FRAME] + content[8 + 2 * FRAME :],
    "changed": change_a_bit,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_chunks_that_were_swapped_cut_or_changed_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "weights"
    path.write_bytes(np.random.default_rng(1).bytes(2 * CHUNK_BYTES + 1000))
    copy = seal_copy(path, tmp_path / "sealed")
    Path(copy).write_bytes(DAMAGES[damage](Path(copy).read_bytes()))
    with pytest.raises(StoreFailed, match="blob:weights was modified"):
        open_bytes(copy, "weights").array(0, path.stat().st_size)


def test_an_empty_or_missing_file_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(BadModelFile, match="empty is empty"):
        open_bytes(seal_copy(empty, tmp_path / "sealed"), "empty")
    (tmp_path / "sealed").unlink()
    with pytest.raises(BadModelFile, match=r"empty cannot be read: No such file"):
        open_bytes(SealedPath.of(tmp_path / "sealed", lambda: seal_copy(empty, tmp_path / "other").key), "empty")


def test_a_tensor_keeps_nothing_that_it_has_decrypted(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    tensor: RawTensor = next(iter(GGUFFile(seal_copy(path, tmp_path / "sealed"), "tiny.gguf").tensors.values()))
    assert tensor.data is not tensor.data
