"""Writes GGUF files (version 3). gguf_header.py describes the format.

Metadata have the types that llama.cpp's converters use, because it rejects others: integers are u32, in arrays i32, and
floats f32. Only values that don't fit have wider types.
"""

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmos.engine.formats.gguf_header import DEFAULT_ALIGNMENT, DTYPES, I8
from llmos.engine.formats.tensor_file import ByteRange, TensorFileWriter, TensorHeader

_TYPE_NUMBERS = {dtype: number for number, dtype in DTYPES.items()}
_BOOL, _STRING, _ARRAY = 7, 8, 9
_FLOATS = ((6, "f"), (12, "d"))
_INTEGERS = ((4, "I"), (5, "i"), (10, "Q"), (11, "q"))
_INTEGERS_OF_ARRAYS = ((5, "i"), (4, "I"), (11, "q"), (10, "Q"))


def open_gguf_writer(path: Path, metadata: Mapping[str, Any], headers: Mapping[str, TensorHeader]) -> TensorFileWriter:
    """Return a writer for a file with these metadata (Python values as in GGUFFile) and tensors.

    Raises ValueError for a metadata value that no GGUF type holds.
    """
    parts = [b"GGUF" + struct.pack("<IQQ", 3, len(headers), len(metadata))]
    for key, value in metadata.items():
        type_number, data = _value(value)
        parts.append(_string(key) + struct.pack("<I", type_number) + data)
    offset, offsets = 0, {}
    for name, tensor in headers.items():
        sizes = tensor.shape[::-1] if tensor.dtype is not None else (tensor.num_bytes,)
        type_number = _TYPE_NUMBERS[tensor.dtype] if tensor.dtype is not None else I8
        parts.append(_string(name) + struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes))
        parts.append(struct.pack("<IQ", type_number, offset))
        offsets[name] = offset
        offset += tensor.num_bytes + _padding(tensor.num_bytes)
    header = b"".join(parts)
    header += bytes(_padding(len(header)))
    # The last tensor is padded, too.
    ranges = {name: ByteRange(len(header) + offsets[name], tensor.num_bytes) for name, tensor in headers.items()}
    return TensorFileWriter(path, header, ranges, size=len(header) + offset)


def _padding(num_bytes: int) -> int:
    return -num_bytes % DEFAULT_ALIGNMENT


def _value(value: Any) -> tuple[int, bytes]:
    """Return the type number and the bytes of a value."""
    if isinstance(value, list):
        return _ARRAY, _array(value)
    number, code = _type_of([value], _INTEGERS)
    return number, _string(value) if number == _STRING else struct.pack(f"<{code}", value)


def _array(values: list[Any]) -> bytes:
    if values and all(isinstance(value, list) for value in values):
        return struct.pack("<IQ", _ARRAY, len(values)) + b"".join(map(_array, values))
    number, code = _type_of(values, _INTEGERS_OF_ARRAYS)
    head = struct.pack("<IQ", number, len(values))
    if number == _STRING:
        return head + b"".join(map(_string, values))
    return head + struct.pack(f"<{len(values)}{code}", *values)


def _type_of(values: list[Any], integers: tuple[tuple[int, str], ...]) -> tuple[int, str]:
    """Return the type number and the `struct` code of the first type that holds all values exactly."""
    kinds = {type(value) for value in values}
    if kinds == {str}:
        return _STRING, ""
    if kinds == {bool}:
        return _BOOL, "?"
    choices = integers if kinds <= {int} else _FLOATS if kinds == {float} else ()
    for number, code in choices:
        if all(_fits(value, code) for value in values):
            return number, code
    raise ValueError(f"no GGUF type holds {values[0]!r:.60}")


def _fits(value: float, code: str) -> bool:
    try:
        (back,) = struct.unpack(f"<{code}", struct.pack(f"<{code}", value))
    except (struct.error, OverflowError):
        return False
    return back == value or math.isnan(value)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data
