"""Reads GGUF files: metadata, and tensors as views of a memory map, or decrypted when they are accessed.

Files are untrusted: tensors must be inside the file, aligned, and must not overlap. gguf_header.py reads the header.
"""

import struct
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.formats import encoded
from llmos.engine.formats.file_bytes import FileBytes, FilePart, open_bytes
from llmos.engine.formats.gguf_header import DTYPES, I8, HeaderReader, TensorInfo
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
        self.path = path
        self.name = name or self.path.name
        self._bytes = open_bytes(self.path, self.name)
        header = _read_header(self._bytes, self.name)
        self.version = header.version
        self.metadata: dict[str, Any] = header.metadata
        _check_layout(self.name, header.infos, header.start, header.alignment, len(self._bytes))
        text = self.metadata.pop(encoded.KEY, None)
        encodings = {} if text is None else encoded.parse_descriptors(text, self.name)
        data = _Data(self.name, self._bytes, header.start, encodings)
        self.tensors: Mapping[str, RawTensor] = LazyTensors(header.infos, partial(_view, data))

    def release_memory(self) -> None:
        """Release the memory of what was read. It is read from the file again when needed."""
        self._bytes.release_memory()


class _Header(NamedTuple):
    version: int
    metadata: dict[str, Any]
    infos: Mapping[str, TensorInfo]
    alignment: int
    start: int
    """The first byte of the tensors."""


class _Data(NamedTuple):
    """The tensors of a file."""

    file_name: str
    file: FileBytes
    start: int
    encodings: Mapping[str, encoded.Descriptor]


def _read_header(file: FileBytes, name: str) -> _Header:
    for prefix in file.prefixes():
        reader = HeaderReader(prefix, name, len(file))
        try:
            version, num_tensors, num_pairs = reader.read_head()
            metadata, infos = reader.read_metadata(num_pairs), reader.read_tensor_infos(num_tensors)
            alignment = reader.check_alignment(metadata)
        except (BadModelFile, struct.error):
            if len(prefix) < len(file):  # The header may be longer than that.
                continue
            raise
        if reader.position <= len(prefix):
            return _Header(version, metadata, infos, alignment, -(-reader.position // alignment) * alignment)
    raise AssertionError("the last prefix is the whole file")


def _view(source: _Data, name: str, info: TensorInfo) -> RawTensor:
    file_name, begin = source.file_name, source.start + info.offset
    if info.type_number == I8 and info.num_bytes is not None and name in source.encodings:
        payload = FilePart(source.file, begin, info.num_bytes)
        return encoded.encoded_tensor(name, source.encodings[name], payload, file_name)
    dtype = DTYPES.get(info.type_number)
    if dtype is None or info.num_bytes is None:
        type_name = UNREADABLE.get(info.type_number, f"number {info.type_number}")
        raise UnsupportedModel(
            f"Tensor {name!r} of {file_name} has type {type_name}, which this engine does not read. "
            f"Use a file with one of {', '.join(DTYPES.values())}."
        )
    return source.file.tensor(dtype, info.shape, begin)


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
