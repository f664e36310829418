"""Tensors that a file stores as plain bytes. The file's metadata describe their encoding (encodings.py, sparse.py).

    metadata["llmos.encodings"]   JSON: {name: {"shape": [...], "parts": [{"rows": n, "encoding": …, …}, …]}, …}
    the tensor                    I8 in GGUF, U8 in safetensors: the parts one after another, each of some rows

Most tensors have one part. A tensor that fuses several tensors of the model has one part for each. Descriptors are
untrusted: their sizes must match the bytes in the file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import MAX_COLUMNS, Encoding, encoding_from_fields
from llmos.engine.formats.sparse import Sparse
from llmos.engine.tensors import BLOCK_BYTES, BLOCK_LENGTH, DType, RawTensor

KEY = "llmos.encodings"
MAX_DIMENSIONS = 4
MAX_VALUES = 1 << 40

Bytes = npt.NDArray[np.uint8]


class Payload(Protocol):
    """The encoded bytes of a tensor."""

    @property
    def size(self) -> int: ...

    def read(self, begin: int, end: int) -> Bytes:
        """Return some of the bytes."""


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of a tensor in one encoding."""

    encoding: Encoding
    num_rows: int


@dataclass(frozen=True, slots=True)
class Descriptor:
    """The shape and the encoding of a tensor."""

    shape: tuple[int, ...]
    parts: tuple[Part, ...]

    @property
    def num_columns(self) -> int:
        return self.shape[-1]

    @property
    def sizes(self) -> list[int]:
        """The number of bytes of each part."""
        return [part.encoding.num_bytes(part.num_rows, self.num_columns) for part in self.parts]

    @property
    def num_bytes(self) -> int:
        return sum(self.sizes)


class EncodedTensor(RawTensor):
    """A tensor that decodes rows when they are accessed, and keeps none of them."""

    __slots__ = ("_descriptor", "_payload")
    _descriptor: Descriptor
    _payload: Payload

    def __init__(self, descriptor: Descriptor, payload: Payload) -> None:
        """`payload`: descriptor.num_bytes bytes."""
        kinds = {part.encoding.dtype(descriptor.num_columns) for part in descriptor.parts}
        dtype: DType = kinds.pop() if len(kinds) == 1 else "F32"
        for name, value in {
            "dtype": dtype,
            "shape": descriptor.shape,
            "_descriptor": descriptor,
            "_payload": payload,
        }.items():
            object.__setattr__(self, name, value)

    @property
    def storage_type(self) -> str:
        return self._descriptor.parts[0].encoding.label

    @property
    def num_stored_bytes(self) -> int:
        """Bytes in the file."""
        return self._descriptor.num_bytes

    @property
    def data(self) -> Bytes:
        return self.take_rows(slice(None)).data

    @property
    def data_shape(self) -> tuple[int, int]:
        return self.num_rows, self.num_columns // BLOCK_LENGTH[self.dtype] * BLOCK_BYTES[self.dtype]

    def take_rows(self, rows: Any) -> RawTensor:
        if not isinstance(rows, slice):
            if len(self._descriptor.parts) > 1:
                return self.take_rows(slice(None)).take_rows(rows)
            return self._decode(0, rows)
        begin, end, step = rows.indices(self.num_rows)
        if step != 1:
            return self.take_rows(np.arange(begin, end, step))
        taken: list[RawTensor] = []
        first = 0
        for index, part in enumerate(self._descriptor.parts):
            here = slice(max(begin - first, 0), min(end - first, part.num_rows))
            if here.start < here.stop or (end <= begin and not taken):
                taken.append(self._decode(index, here))
            first += part.num_rows
        if len(taken) == 1:
            return taken[0]
        data = np.concatenate([part.data for part in taken])
        return RawTensor(self.dtype, (len(data), self.num_columns), data)

    def _decode(self, index: int, rows: Any) -> RawTensor:
        part, sizes = self._descriptor.parts[index], self._descriptor.sizes
        begin, num_rows = sum(sizes[:index]), part.num_rows
        if isinstance(rows, slice):  # Read only these rows.
            first, end, _ = rows.indices(num_rows)
            before, num_rows = part.encoding.num_bytes(first, self.num_columns), max(end - first, 0)
            payload = self._payload.read(
                begin + before, begin + before + part.encoding.num_bytes(num_rows, self.num_columns)
            )
            rows = slice(None)
        else:
            payload = self._payload.read(begin, begin + sizes[index])
        # A damaged scale may give infinite or NaN values, for the caller to notice.
        with np.errstate(invalid="ignore", over="ignore"):
            decoded = part.encoding.take(payload, (num_rows, self.num_columns), rows)
        if decoded.dtype == self.dtype:
            return decoded
        values = dequantize(decoded)
        return RawTensor("F32", values.shape, values.view(np.uint8))


def parse_descriptors(text: object, file_name: str) -> dict[str, Descriptor]:
    """Parse the metadata entry KEY of a file. Raises BadModelFile, calling the file `file_name`, for invalid text."""
    try:
        described = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        described = None
    if not isinstance(described, dict):
        raise BadModelFile(f"{file_name} is damaged: its {KEY} is not a JSON object.")
    descriptors = {}
    for name, fields in described.items():
        try:
            descriptors[name] = _descriptor(fields)
        except ValueError as reason:
            raise BadModelFile(f"{file_name} is damaged: in the descriptor of tensor {name!r:.80}, {reason}.") from None
    return descriptors


def format_descriptors(descriptors: Mapping[str, Descriptor]) -> str:
    """Return the text of the metadata entry KEY."""
    described = {
        name: {
            "shape": list(descriptor.shape),
            "parts": [{"rows": part.num_rows, **part.encoding.fields()} for part in descriptor.parts],
        }
        for name, descriptor in descriptors.items()
    }
    return json.dumps(described, separators=(",", ":"), sort_keys=True)


def encoded_tensor(name: str, descriptor: Descriptor, payload: Payload, file_name: str) -> EncodedTensor:
    """Return the tensor of a descriptor and its bytes. Raises BadModelFile if the number of bytes doesn't match."""
    if payload.size != descriptor.num_bytes:
        raise BadModelFile(
            f"{file_name} is damaged: tensor {name!r} should have {descriptor.num_bytes:,} bytes and has"
            f" {payload.size:,}."
        )
    return EncodedTensor(descriptor, payload)


def _descriptor(fields: object) -> Descriptor:
    if not isinstance(fields, dict):
        raise ValueError("the value is not an object")
    shape, parts = fields.get("shape"), fields.get("parts")
    if not (isinstance(shape, list) and 2 <= len(shape) <= MAX_DIMENSIONS and all(_is_size(size) for size in shape)):
        raise ValueError(f"the shape is {shape!r:.40}")
    if not (isinstance(parts, list) and parts and all(isinstance(part, dict) for part in parts)):
        raise ValueError("the parts are not a list of objects")
    if shape[-1] > MAX_COLUMNS or prod(shape) > MAX_VALUES:
        raise ValueError(f"the shape {shape} is too large")
    made = [Part(_encoding(part), _num_rows(part)) for part in parts]
    if sum(part.num_rows for part in made) != prod(shape[:-1]):
        raise ValueError("the numbers of rows of the parts and the shape differ")
    descriptor = Descriptor(tuple(shape), tuple(made))
    _ = descriptor.num_bytes  # raises if groups don't fit into rows
    return descriptor


def _encoding(part: Mapping[str, Any]) -> Encoding:
    return Sparse.from_fields(part) if part.get("encoding") == Sparse.name else encoding_from_fields(part)


def _num_rows(part: Mapping[str, Any]) -> int:
    rows = part.get("rows")
    if not _is_size(rows):
        raise ValueError(f"a part has {rows!r:.40} rows")
    count: int = rows  # type: ignore[assignment]
    return count


def _is_size(value: object) -> bool:
    return type(value) is int and value > 0
