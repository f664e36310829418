"""Tensors of the Open Inference Protocol: in JSON, or as bytes after it (Triton's binary tensor data extension).

    {"inputs": [{"name", "shape", "datatype", "data": [...]}]}                                  values in the JSON
    {"inputs": [{"name", "shape", "datatype", "parameters": {"binary_data_size": 9}}]} bytes    one input after another

A BYTES element is its length in four bytes, little-endian, and its bytes. Other types are stored as in memory,
little-endian."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
import numpy as np

from llmos.core.errors import BadRequest
from llmos.gateway.http.requests import RequestObject, Unsupported

_DTYPES = {
    "BOOL": "?", "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip

_LENGTH_BYTES = 4

_MAX_ELEMENTS = 1 << 16

_MAX_DIMENSIONS = 8

_NO_SHARED_MEMORY = Unsupported("send the data in the request.")


class TensorParameters(RequestObject, kw_only=True):
    binary_data_size: int | None = None
    """The size of this tensor's data after the JSON."""

    unsupported: ClassVar = {
        "shared_memory_region": _NO_SHARED_MEMORY,
        "shared_memory_byte_size": _NO_SHARED_MEMORY,
        "shared_memory_offset": _NO_SHARED_MEMORY,
    }


class InputTensor(RequestObject, kw_only=True):
    name: str
    shape: list[int]
    datatype: str
    """BYTES for text."""
    parameters: TensorParameters | None = None
    data: list[Any] | None = None
    """The elements, flat or nested."""

    objects: ClassVar = {"parameters": TensorParameters}

    @property
    def binary_size(self) -> int | None:
        return self.parameters.binary_data_size if self.parameters else None


class OutputTensor(msgspec.Struct, kw_only=True, omit_defaults=True):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, int] = msgspec.field(default_factory=dict)
    """binary_data_size, if the data comes after the JSON."""
    data: list[Any] | None = None


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    shape: list[int]
    values: list[Any]
    """Values in row-major order. Those of BYTES are strings."""


def split(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    """Return the JSON and the bytes after it.

    `header_length`: the header Inference-Header-Content-Length, or None.
    """
    if header_length is None:
        return body, b""
    is_length = header_length.isascii() and header_length.isdecimal() and len(header_length) < 16
    if not is_length or int(header_length) > len(body):
        raise BadRequest(
            f"The header Inference-Header-Content-Length is {header_length!r:.50}; it must be the length of the JSON "
            f"within the body's {len(body):,} bytes."
        )
    length = int(header_length)
    return body[:length], body[length:]


def read_tensors(inputs: Sequence[InputTensor], binary: bytes) -> list[Tensor]:
    """Return the inputs with their values. Raises BadRequest naming an input whose data does not fit."""
    tensors = []
    offset = 0
    for i, tensor in enumerate(inputs):
        path = f"inputs[{i}]"
        if tensor.datatype != "BYTES" and tensor.datatype not in _DTYPES:
            known = ", ".join(["BYTES", *_DTYPES])
            raise _wrong(path, "datatype", f"is {tensor.datatype!r:.50}; it accepts {known}.")
        if any(length < 0 for length in tensor.shape):
            raise _wrong(path, "shape", f"is {tensor.shape!s:.200}; dimensions can't be negative.")
        # Checked before they are multiplied: a million long integers would block the event loop for an hour.
        if len(tensor.shape) > _MAX_DIMENSIONS or any(length >= 2**31 for length in tensor.shape):
            raise _wrong(
                path,
                "shape",
                f"is {tensor.shape!s:.200}; the limit is {_MAX_DIMENSIONS} dimensions below 2,147,483,648.",
            )
        count = math.prod(tensor.shape)
        if count > _MAX_ELEMENTS:
            raise _wrong(path, "shape", f"has {count:,} elements; the limit is {_MAX_ELEMENTS:,} per request.")
        if tensor.binary_size is None:
            values = _flat(tensor, path)
        else:
            if tensor.data is not None:
                raise _wrong(path, "data", "is given twice: here, and as binary_data_size. Send one of them.")
            end = offset + tensor.binary_size
            if tensor.binary_size < 0 or end > len(binary):
                raise _wrong(
                    path,
                    "parameters.binary_data_size",
                    f"is {tensor.binary_size:,}, but {len(binary) - offset:,} bytes are left after the JSON.",
                )
            values = _unpacked(tensor, binary[offset:end], path)
            offset = end
        if len(values) != count:
            raise _wrong(path, "shape", f"{tensor.shape} has {count:,} elements, but the data has {len(values):,}.")
        tensors.append(Tensor(tensor.name, tensor.shape, values))
    if offset < len(binary):
        raise BadRequest(f"The body has {len(binary) - offset:,} bytes more than its inputs' binary_data_size.")
    return tensors


def write_tensors(
    tensors: Sequence[tuple[str, str, Sequence[Any]]], shape: list[int], binary: Sequence[str]
) -> tuple[list[OutputTensor], bytes]:
    """Return the outputs, and the bytes of those that `binary` names.

    `tensors`: the name, datatype and values of each output.
    """
    outputs, data = [], b""
    for name, datatype, values in tensors:
        if name in binary:
            packed = _packed(datatype, values)
            data += packed
            parameters = {"binary_data_size": len(packed)}
            outputs.append(OutputTensor(name=name, shape=shape, datatype=datatype, parameters=parameters))
        else:
            outputs.append(OutputTensor(name=name, shape=shape, datatype=datatype, data=list(values)))
    return outputs, data


def _flat(tensor: InputTensor, path: str) -> list[Any]:
    if tensor.data is None:
        raise _wrong(path, "data", "is missing.")
    values = tensor.data
    for _ in tensor.shape[1:]:
        if not any(isinstance(value, list) for value in values):
            break
        values = [each for value in values for each in (value if isinstance(value, list) else [value])]
    kinds: tuple[type, ...] = (str,) if tensor.datatype == "BYTES" else (int, float)
    for value in values:
        if not isinstance(value, kinds):
            raise _wrong(path, "data", f"contains {value!r:.50}, which is not a {tensor.datatype}.")
    return values


def _unpacked(tensor: InputTensor, data: bytes, path: str) -> list[Any]:
    if tensor.datatype != "BYTES":
        dtype = np.dtype(_DTYPES[tensor.datatype])
        if len(data) % dtype.itemsize:
            raise _wrong(path, "parameters.binary_data_size", f"is not a multiple of {dtype.itemsize}.")
        numbers: list[Any] = np.frombuffer(data, dtype).tolist()
        return numbers
    values: list[Any] = []
    offset = 0
    while offset < len(data):
        start = offset + _LENGTH_BYTES
        offset = start + int.from_bytes(data[offset:start], "little")
        if start > len(data) or offset > len(data):
            raise _wrong(path, "data", "ends in the middle of an element.")
        if len(values) == _MAX_ELEMENTS:
            raise _wrong(path, "data", f"has more than {_MAX_ELEMENTS:,} elements.")
        try:
            values.append(data[start:offset].decode())
        except UnicodeDecodeError as error:
            raise _wrong(path, "data", f"is not valid UTF-8: {error.reason}.") from None
    return values


def _packed(datatype: str, values: Sequence[Any]) -> bytes:
    if datatype != "BYTES":
        return np.array(values, _DTYPES[datatype]).tobytes()
    encoded = [value.encode() for value in values]
    return b"".join(len(each).to_bytes(_LENGTH_BYTES, "little") + each for each in encoded)


def _wrong(path: str, field: str, what: str) -> BadRequest:
    return BadRequest(f"`{path}.{field}` {what}", param=f"{path}.{field}")
