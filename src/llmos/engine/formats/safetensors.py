"""Reads Hugging Face folders: config.json, and the tensors of safetensors files as views of memory maps.

The safetensors library validates the header of a plain file (ranges, overlaps, sizes, holes). The views are made here:
the library would copy, and has no bfloat16 for numpy. It can't read an encrypted file, whose ranges are checked here;
its tensors are decrypted when they are accessed.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from llmos.core.encryption.sealed_path import SealedPath
from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.formats import encoded
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.file_bytes import FileBytes, FilePart, open_bytes
from llmos.engine.formats.json_file import read_json_object
from llmos.engine.formats.pickles import MAX_HEADER_BYTES, REASON, looks_like_pickle, pickle_names
from llmos.engine.formats.tensor_names import format_names
from llmos.engine.tensors import BLOCK_BYTES, DType, LazyTensors, RawTensor

INDEX_NAME = "model.safetensors.index.json"
MAX_SHARDS = 1024

DTYPES: dict[str, DType] = {"F32": "F32", "F16": "F16", "BF16": "BF16"}
"""The types that this engine reads, by their names in safetensors."""
_NUMPY_TYPES = {"I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"}
ENCODED_DTYPE = "U8"
"""The type of a tensor in an encoding of ours (encoded.py)."""

NAMES_KEY, CANONICAL = "llmos.names", "canonical"
"""The metadata entry of a file whose tensors have the canonical names of spec.py."""


class SafetensorsFolder:
    """An open folder. `files` maps each name in the folder to a path, which may have any name.

    Raises BadModelFile for damaged or missing files, and UnsupportedModel for a folder whose weights are pickled. A
    tensor of a type that the engine can't read raises UnsupportedModel only when it is accessed.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = dict(files)
        if "config.json" not in self.files:
            raise BadModelFile("config.json is missing. A Hugging Face folder has it beside the weights.")
        self.config: dict[str, Any] = read_json_object(self.files["config.json"], "config.json")
        shards, listed = self._shards()
        self._infos: dict[str, _TensorInfo] = {}
        self._files: list[FileBytes] = []
        self.has_canonical_names = False
        """The tensors have the canonical names of spec.py, instead of the names in the family's own files."""
        for shard in shards:
            opened = _read_shard(self.files[shard], shard)
            self._files.append(opened.file)
            self.has_canonical_names |= opened.metadata.get(NAMES_KEY) == CANONICAL
            for name, info in opened.infos.items():
                if name in self._infos:
                    raise BadModelFile(f"Tensor {name!r} is in both {self._infos[name].shard} and {shard}.")
                self._infos[name] = info
        missing = sorted(listed - self._infos.keys())
        if missing:
            raise BadModelFile(f"{INDEX_NAME} lists tensors that no file holds: {format_names(missing, 8)}.")
        self.tensors: Mapping[str, RawTensor] = LazyTensors(self._infos, _view)

    def type_of(self, name: str) -> str:
        """Return the type of a tensor as safetensors names it."""
        return self._infos[name].dtype

    def array(self, name: str) -> npt.NDArray[Any]:
        """Return a tensor as an array: of integers, of floats, or of bytes for a type that numpy lacks.

        Raises BadModelFile for a tensor that is smaller or larger than its shape.
        """
        info = self._infos[name]
        if info.dtype in DTYPES:
            return dequantize(_view(name, info))
        try:
            array = info.data.read(0, info.data.size)
            return array.view(_NUMPY_TYPES.get(info.dtype, "u1")).reshape(info.shape)
        except ValueError:
            raise _bad(info.shard, f"tensor {name!r} does not have the size of its shape") from None

    def release_memory(self) -> None:
        """Release the memory of what was read. It is read from the files again when needed."""
        for each in self._files:
            each.release_memory()

    def _shards(self) -> tuple[list[str], set[str]]:
        """Return the names of the weight files, and the tensors that the index lists."""
        if "model.safetensors" in self.files:
            return ["model.safetensors"], set()
        if INDEX_NAME in self.files:
            weight_map = read_json_object(self.files[INDEX_NAME], INDEX_NAME).get("weight_map")
            if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
                raise BadModelFile(f"{INDEX_NAME} has no weight_map from tensor names to file names.")
            shards = sorted(set(weight_map.values()))
            missing = [shard for shard in shards if shard not in self.files]
            if missing:
                raise BadModelFile(f"{INDEX_NAME} names files that are missing: {format_names(missing, 8)}.")
            listed = set(weight_map)
        else:
            # A subfolder ("onnx/…") is another model.
            shards = sorted(name for name in self.files if name.endswith(".safetensors") and "/" not in name)
            listed = set()
        if len(shards) > MAX_SHARDS:
            raise BadModelFile(f"The model has {len(shards):,} weight files; the limit is {MAX_SHARDS:,}.")
        if not shards:
            pickles = pickle_names(self.files)
            if pickles:
                raise UnsupportedModel(f"{format_names(pickles, 8)}: pickled weights. {REASON}")
            raise BadModelFile("The folder has no *.safetensors file, so it has no weights.")
        return shards, listed


def open_safetensors(path: Path, name: str) -> Mapping[str, RawTensor]:
    """Return the tensors of one file. Raises what SafetensorsFolder raises, calling the file `name`."""
    return LazyTensors(_read_shard(path, name).infos, _view)


class _TensorInfo(NamedTuple):
    shard: str
    dtype: str  # the name in safetensors
    shape: tuple[int, ...]
    data: FilePart
    descriptor: encoded.Descriptor | None = None


class _Shard(NamedTuple):
    infos: dict[str, _TensorInfo]
    metadata: Mapping[str, object]
    file: FileBytes


def _view(name: str, info: _TensorInfo) -> RawTensor:
    if info.descriptor is not None:
        return encoded.encoded_tensor(name, info.descriptor, info.data, info.shard)
    dtype = DTYPES.get(info.dtype)
    if dtype is None:
        raise UnsupportedModel(
            f"Tensor {name!r} of {info.shard} has type {info.dtype}, which this engine does not read. "
            f"Use a model saved in one of {', '.join(DTYPES)}."
        )
    return info.data.file.tensor(dtype, info.shape, info.data.begin)


def _read_shard(path: Path, name: str) -> _Shard:
    bad = partial(_bad, name)
    data = open_bytes(path, name)
    head = data[:8]
    if looks_like_pickle(data):
        raise UnsupportedModel(f"{name} is a pickle, in spite of its name. {REASON}")
    header_bytes = int.from_bytes(head, "little")
    if len(head) < 8 or header_bytes > len(data) - 8:
        raise bad("it is cut short, or not a safetensors file. Download it again")
    if header_bytes > MAX_HEADER_BYTES:
        raise bad(f"its header has {header_bytes:,} bytes; the limit is {MAX_HEADER_BYTES:,}")
    try:
        if not isinstance(path, SealedPath):
            with safe_open(path, framework="numpy"):
                pass  # It has checked the header.
        header = json.loads(data[8 : 8 + header_bytes])
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise bad(f"{error}. Download it again") from None
    start = 8 + header_bytes
    if isinstance(path, SealedPath):
        _check_ranges(header, len(data) - start, bad)
    metadata = header.get("__metadata__")
    metadata = metadata if isinstance(metadata, dict) else {}
    descriptors = encoded.parse_descriptors(metadata[encoded.KEY], name) if encoded.KEY in metadata else {}
    infos: dict[str, _TensorInfo] = {}
    for tensor_name, entry in header.items():
        if tensor_name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        shape, dtype = tuple(entry["shape"]), entry["dtype"]
        # The library checked this, too, but a view must not depend on it.
        wrong_size = dtype in DTYPES and end - begin != prod(shape) * BLOCK_BYTES[DTYPES[dtype]]
        if not 0 <= begin <= end <= len(data) - start or wrong_size:
            raise bad(f"tensor {tensor_name!r} is not where the header says")
        descriptor = descriptors.get(tensor_name) if dtype == ENCODED_DTYPE else None
        infos[tensor_name] = _TensorInfo(name, dtype, shape, FilePart(data, start + begin, end - begin), descriptor)
    return _Shard(infos, metadata, data)


class _Entry(msgspec.Struct):
    """The entry of a tensor in a file's header."""

    dtype: str
    shape: list[Annotated[int, msgspec.Meta(ge=0)]]
    data_offsets: tuple[int, int]


def _check_ranges(header: object, num_bytes: int, bad: Callable[[str], BadModelFile]) -> None:
    """Raise BadModelFile unless the tensors fill `num_bytes` without a gap or an overlap."""
    try:
        fields = {key: value for key, value in header.items() if key != "__metadata__"}  # type: ignore[attr-defined]
        entries = msgspec.convert(fields, dict[str, _Entry])
    except (AttributeError, msgspec.ValidationError) as error:
        raise bad(f"its header is invalid: {error}") from None
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        if entry.data_offsets[0] != end or entry.data_offsets[1] < end:
            raise bad(f"tensor {name!r} is not where the one before it ends")
        end = entry.data_offsets[1]
    if end != num_bytes:
        raise bad(f"its tensors have {end:,} bytes, and {num_bytes:,} follow the header")


def _bad(name: str, problem: str) -> BadModelFile:
    return BadModelFile(f"{name} cannot be read: {problem}.")
