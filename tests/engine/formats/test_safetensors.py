"""Hugging Face folders: one file or shards are read, and each error in them is named."""

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.safetensors import SafetensorsFolder
from support.examples import examples

Folder = Callable[..., dict[str, Path]]

TENSORS = {
    "a.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4) / 7,
    "b.weight": (torch.arange(10).reshape(2, 5) / 3).to(torch.bfloat16),
    "c.weight": (torch.arange(8).reshape(2, 2, 2) / 3).to(torch.float16),
    "bias": torch.arange(3, dtype=torch.float32),
}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Write files under names without meaning, as in a blob store. Return the path of each name."""

    def write(*, config: object = {"model_type": "llama"}, **files: object) -> dict[str, Path]:
        paths: dict[str, Path] = {}
        for i, (name, content) in enumerate({"config.json": config, **files}.items()):
            name = name.replace("__", "-").replace("_json", ".json").replace("_safetensors", ".safetensors")
            paths[name] = tmp_path / f"{i:064x}"
            if name.endswith(".safetensors") and isinstance(content, dict):
                save_file(content, paths[name])
            elif isinstance(content, bytes):
                paths[name].write_bytes(content)
            else:
                paths[name].write_text(json.dumps(content))
        return paths

    return write


def assert_holds(tensors: dict[str, torch.Tensor], files: dict[str, Path]) -> None:
    ours = SafetensorsFolder(files).tensors
    assert set(ours) == set(tensors)
    for name, tensor in tensors.items():
        assert ours[name].shape == tuple(tensor.shape)
        np.testing.assert_array_equal(dequantize(ours[name]), tensor.float().numpy())


def test_one_file_gives_its_tensors_and_the_config(folder: Folder):
    files = folder(**{"model.safetensors": TENSORS})
    assert_holds(TENSORS, files)
    assert SafetensorsFolder(files).config == {"model_type": "llama"}


def test_a_tensor_is_a_view_of_the_file(folder: Folder):
    data = SafetensorsFolder(folder(**{"model.safetensors": TENSORS})).tensors["a.weight"].data
    assert not data.flags.owndata
    assert not data.flags.writeable


def shards(folder: Folder, weight_map: object = None) -> dict[str, Path]:
    names = list(TENSORS)
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    weight_map = weight_map or {name: first if name in names[:2] else second for name in names}
    return folder(
        **{
            "model.safetensors.index.json": {"weight_map": weight_map},
            first: {name: TENSORS[name] for name in names[:2]},
            second: {name: TENSORS[name] for name in names[2:]},
        }
    )


def test_shards_are_read_through_their_index_or_without_one(folder: Folder):
    files = shards(folder)
    assert_holds(TENSORS, files)
    del files["model.safetensors.index.json"]
    assert_holds(TENSORS, files)


def test_a_missing_shard_is_named(folder: Folder):
    files = shards(folder)
    del files["model-00002-of-00002.safetensors"]
    with pytest.raises(BadModelFile, match=r"missing: model-00002-of-00002.safetensors"):
        SafetensorsFolder(files)


def test_tensors_that_only_the_index_lists_are_named(folder: Folder):
    first = "model-00001-of-00002.safetensors"
    with pytest.raises(BadModelFile, match="no file holds: x, y"):
        SafetensorsFolder(shards(folder, {"a.weight": first, "x": first, "y": first}))


def test_a_tensor_in_two_files_is_rejected(folder: Folder):
    with pytest.raises(BadModelFile, match="in both"):
        SafetensorsFolder(folder(**{"one.safetensors": TENSORS, "two.safetensors": TENSORS}))


@pytest.mark.parametrize("index", [[], {"weight_map": []}, {"weight_map": {"a": 1}}, {}])
def test_an_index_without_a_map_is_rejected(folder: Folder, index: object):
    with pytest.raises(BadModelFile, match=r"index.json"):
        SafetensorsFolder(folder(**{"model.safetensors.index.json": index}))


def test_a_tensor_of_an_unsupported_type_is_rejected_when_it_is_accessed(folder: Folder):
    files = folder(**{"model.safetensors": {"ids": torch.arange(3), "bias": TENSORS["bias"]}})
    tensors = SafetensorsFolder(files).tensors
    assert tensors["bias"].shape == (3,)
    with pytest.raises(UnsupportedModel, match=r"'ids' .* type I64"):
        tensors["ids"]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "x.ckpt", "weights.pkl"])
def test_pickled_weights_are_rejected_with_the_reason(folder: Folder, name: str):
    with pytest.raises(UnsupportedModel, match=f"{name}.*can run any code"):
        SafetensorsFolder(folder(**{name: pickle.dumps({})}))


def test_pickled_weights_beside_safetensors_are_ignored(folder: Folder):
    assert_holds(TENSORS, folder(**{"model.safetensors": TENSORS, "pytorch_model.bin": pickle.dumps({})}))


def test_a_pickle_with_another_name_is_rejected_with_the_reason(folder: Folder):
    with pytest.raises(UnsupportedModel, match="is a pickle"):
        SafetensorsFolder(folder(**{"model.safetensors": pickle.dumps({})}))


@pytest.mark.parametrize("num_bytes", [640, 896, 1152, 1408, 640 + 65536])
def test_a_header_whose_length_begins_like_a_pickle_is_read(folder: Folder, num_bytes: int):
    files = folder(**{"model.safetensors": with_header_of(num_bytes, TENSORS)})
    assert files["model.safetensors"].read_bytes()[:2] in {b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"}
    assert_holds(TENSORS, files)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_of_each_protocol_is_rejected(folder: Folder, protocol: int):
    for value in ({}, {"w": [1.0] * 5000}, b"{" * 100_000):
        with pytest.raises(UnsupportedModel, match="is a pickle"):
            SafetensorsFolder(folder(**{"model.safetensors": pickle.dumps(value, protocol)}))


def with_header_of(num_bytes: int, tensors: dict[str, torch.Tensor]) -> bytes:
    """Return a safetensors file whose header is filled up to this length with spaces, as the format allows."""
    data = save(tensors)
    end = 8 + int.from_bytes(data[:8], "little")
    return num_bytes.to_bytes(8, "little") + data[8:end].rstrip().ljust(num_bytes) + data[end:]


def test_a_folder_without_weights_or_config_says_what_is_missing(folder: Folder):
    with pytest.raises(BadModelFile, match=r"no \*.safetensors file"):
        SafetensorsFolder(folder())
    files = folder(**{"model.safetensors": TENSORS})
    del files["config.json"]
    with pytest.raises(BadModelFile, match=r"config.json is missing"):
        SafetensorsFolder(files)


@pytest.mark.parametrize("config", [b"{", b"[]", b"\xff", b"[" * 100_000, b'"text"'])
def test_a_config_that_is_not_a_json_object_is_rejected(folder: Folder, config: bytes):
    with pytest.raises(BadModelFile, match=r"config.json"):
        SafetensorsFolder(folder(config=config, **{"model.safetensors": TENSORS}))


@pytest.mark.parametrize("length", [10**6, 2**31, 2**63, 2**64 - 1])
def test_a_header_longer_than_the_file_is_rejected(folder: Folder, length: int):
    with pytest.raises(BadModelFile, match=r"model.safetensors"):
        SafetensorsFolder(folder(**{"model.safetensors": struct.pack("<Q", length) + b"{}"}))


def test_a_damaged_file_is_a_clear_error(folder: Folder):
    files = folder(**{"model.safetensors": TENSORS})
    path = files["model.safetensors"]
    whole = path.read_bytes()
    header_end = 8 + int.from_bytes(whole[:8], "little")

    @settings(deadline=None, max_examples=examples(400), suppress_health_check=list(HealthCheck))
    @given(st.integers(0, header_end - 1), st.binary(min_size=1, max_size=12), st.integers(0, 12), st.booleans())
    def check(where: int, new: bytes, num_old: int, is_cut: bool) -> None:
        path.write_bytes(whole[:where] + new + (b"" if is_cut else whole[where + num_old :]))
        try:
            tensors = SafetensorsFolder(files).tensors
            for name in tensors:
                assert dequantize(tensors[name]).shape == tensors[name].shape
        except (BadModelFile, UnsupportedModel):
            pass

    check()
