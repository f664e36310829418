"""Reads GGUF files: metadata, and tensors as views of a memory map.

Files are untrusted: tensors must be inside the file, aligned, and must not overlap. gguf_header.py reads the header.
"""

import mmap
from collections.abc import Mapping
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.formats import encoded
from llmos.engine.formats.gguf_header import DTYPES, I8, HeaderReader, TensorInfo
from llmos.engine.formats.memory_map import map_file
from llmos.engine.tensors import LazyTensors, RawTensor

UNREADABLE: dict[int, str] = {
    9: "Q8_1", 15: "Q8_K", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 41: "Q1_0",
}  # fmt: skip
"""Names of the types that this engine doesn't read, for error messages."""


class GGUFFile:
    """An open GGUF file. `metadata` has Python values (arrays are lists); `tensors` makes a view on each access.

    Raises BadModelFile for an invalid file. A tensor of a type that the engine can't read raises UnsupportedModel, with
    tensor and type, only when it is accessed.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        """`name`: of the file in error messages, if its path doesn't show it (blobs are named by their digest)."""
        self.path = Path(path)
        self.name = name or self.path.name
        self._map = map_file(self.path, self.name)
        reader = HeaderReader(self._map, self.name)
        self.version, num_tensors, num_pairs = reader.read_head()
        self.metadata: dict[str, Any] = reader.read_metadata(num_pairs)
        infos = reader.read_tensor_infos(num_tensors)
        alignment = reader.check_alignment(self.metadata)
        start = -(-reader.position // alignment) * alignment
        _check_layout(self.name, infos, start, alignment, len(self._map))
        data = np.frombuffer(self._map, dtype=np.uint8)[start:]
        text = self.metadata.pop(encoded.KEY, None)
        encodings = {} if text is None else encoded.parse_descriptors(text, self.name)
        self.tensors: Mapping[str, RawTensor] = LazyTensors(infos, partial(_view, self.name, data, encodings))

    def release_memory(self) -> None:
        """Release the memory of the pages that were read. They are read from the file again when needed."""
        self._map.madvise(mmap.MADV_DONTNEED)


def _view(
    file_name: str,
    data: npt.NDArray[np.uint8],
    encodings: Mapping[str, encoded.Descriptor],
    name: str,
    info: TensorInfo,
) -> RawTensor:
    if info.type_number == I8 and info.num_bytes is not None and name in encodings:
        payload = data[info.offset : info.offset + info.num_bytes]
        return encoded.encoded_tensor(name, encodings[name], payload, file_name)
    dtype = DTYPES.get(info.type_number)
    if dtype is None or info.num_bytes is None:
        type_name = UNREADABLE.get(info.type_number, f"number {info.type_number}")
        raise UnsupportedModel(
            f"Tensor {name!r} of {file_name} has type {type_name}, which this engine does not read. "
            f"Use a file with one of {', '.join(DTYPES.values())}."
        )
    num_rows = prod(info.shape[:-1])
    rows = data[info.offset : info.offset + info.num_bytes].reshape(num_rows, info.num_bytes // num_rows)
    return RawTensor(dtype, info.shape, rows)


def _check_layout(file_name: str, infos: Mapping[str, TensorInfo], start: int, alignment: int, file_bytes: int) -> None:
    """Raise BadModelFile unless all tensors are inside the file, aligned, and don't overlap."""
    data_bytes = max(file_bytes - start, 0)
    end, previous = 0, ""
    for name, info in sorted(infos.items(), key=lambda item: item[1].offset):
        if info.offset % alignment:
            raise BadModelFile(
                f"{file_name} puts tensor {name!r} at offset {info.offset:,}, not a multiple of {alignment}."
            )
        # A tensor of an unreadable type has an unknown size of at least one byte.
        num_bytes = 1 if info.num_bytes is None else info.num_bytes
        if info.offset + num_bytes > data_bytes:
            raise BadModelFile(
                f"{file_name} is cut short: tensor {name!r} needs {num_bytes:,} bytes at offset {info.offset:,}, "
                f"and the file holds {data_bytes:,} bytes of tensors. Download it again."
            )
        if info.offset < end:
            raise BadModelFile(f"{file_name} is damaged: the tensors {previous!r} and {name!r} overlap.")
        end, previous = info.offset + num_bytes, name
