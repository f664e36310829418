"""Reads the header of a GGUF file (versions 2 and 3): metadata, and the position of each tensor.

    magic "GGUF" · version u32 · tensor count u64 · metadata count u64
    metadata pairs:  key string · type u32 · value
    tensor infos:    name string · dimensions u32 · sizes u64 each, fastest first · type u32 · offset u64
    padding to the alignment, then the bytes of the tensors, each at its offset

Files are untrusted: every length is compared with the remaining bytes before anything is allocated for it.
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

from llmos.core.errors import BadModelFile
from llmos.engine.formats.pickles import REASON, looks_like_pickle
from llmos.engine.tensors import BLOCK_BYTES, BLOCK_LENGTH, DType

MAX_TENSORS = 1 << 16
MAX_PAIRS = 1 << 14
MAX_KEY_BYTES = 1 << 10
MAX_STRING_BYTES = 1 << 24
MAX_ARRAY_VALUES = 1 << 23
"""Elements of all arrays of a file. The largest vocabularies have 300,000 tokens and 600,000 merges."""
MAX_ARRAY_DEPTH = 3
MAX_DIMENSIONS = 4
MAX_ALIGNMENT = 1 << 16
DEFAULT_ALIGNMENT = 32

DTYPES: dict[int, DType] = {
    0: "F32", 1: "F16", 30: "BF16", 8: "Q8_0", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1",
    10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 20: "IQ4_NL", 23: "IQ4_XS", 39: "MXFP4", 40: "NVFP4",
    34: "TQ1_0", 35: "TQ2_0", 19: "IQ1_S", 29: "IQ1_M", 16: "IQ2_XXS", 17: "IQ2_XS", 22: "IQ2_S", 18: "IQ3_XXS",
    21: "IQ3_S",
}  # fmt: skip
"""ggml's type numbers, for the types that this engine reads."""

I8 = 24
"""ggml's type number of a tensor in an encoding of ours (encoded.py)."""

_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_BOOL, _STRING, _ARRAY = 7, 8, 9
_NUMBERS = {
    number: struct.Struct("<" + code)
    for number, code in zip((0, 1, 2, 3, 4, 5, 6, _BOOL, 10, 11, 12), "BbHhIifBQqd", strict=True)
}
"""The number types of metadata by GGUF's type numbers."""


class TensorInfo(NamedTuple):
    """The entry of a tensor in the header."""

    type_number: int
    shape: tuple[int, ...]  # row-major
    offset: int  # from the start of the data
    num_bytes: int | None  # None: the type is unknown


class HeaderReader:
    """A cursor over the header. Compares every length with the remaining bytes before slicing."""

    def __init__(self, data: Any, file_name: str, num_bytes: int | None = None) -> None:
        """`num_bytes`: of the whole file, where `data` is its beginning."""
        self._data, self.position, self._file_name = data, 0, file_name
        self._end = len(data) if num_bytes is None else num_bytes
        self._values_left = MAX_ARRAY_VALUES

    def read_head(self) -> tuple[int, int, int]:
        """Return the version, the tensor count and the metadata count."""
        magic = self._data[:4]
        if magic != b"GGUF":
            if looks_like_pickle(self._data):
                raise self._bad(f"is a pickle, not a GGUF file. {REASON}")
            raise self._bad("is not a GGUF file: it does not begin with GGUF. Download it again")
        self.position = 4
        version = self._u32()
        if version and version & 0xFFFF == 0:
            raise self._bad("was written for big-endian machines; this engine reads little-endian files")
        if version not in (2, 3):
            raise self._bad(f"is GGUF version {version}; this engine reads versions 2 and 3. Convert the model again")
        num_tensors, num_pairs = self._u64(), self._u64()
        # A metadata pair has at least 13 bytes and a tensor info 32, so a short file can't have many.
        if num_tensors > MAX_TENSORS or num_tensors * 32 > self._left:
            raise self._bad(f"claims {num_tensors:,} tensors, more than it can hold")
        if num_pairs > MAX_PAIRS or num_pairs * 13 > self._left:
            raise self._bad(f"claims {num_pairs:,} metadata entries, more than it can hold")
        return version, num_tensors, num_pairs

    def read_metadata(self, num_pairs: int) -> dict[str, Any]:
        """Read the metadata, after read_head()."""
        metadata: dict[str, Any] = {}
        for _ in range(num_pairs):
            key = self._name("A metadata key", MAX_KEY_BYTES)
            if key in metadata:
                raise self._bad(f"has the metadata entry {key!r} twice")
            metadata[key] = self._value(key, self._u32(), 0)
        return metadata

    def read_tensor_infos(self, num_tensors: int) -> dict[str, TensorInfo]:
        """Read the tensor infos, after read_metadata()."""
        infos: dict[str, TensorInfo] = {}
        for _ in range(num_tensors):
            name = self._name("A tensor's name", MAX_KEY_BYTES)
            if name in infos:
                raise self._bad(f"has the tensor {name!r} twice")
            num_dimensions = self._u32()
            if not 1 <= num_dimensions <= MAX_DIMENSIONS:
                raise self._bad(f"gives tensor {name!r} {num_dimensions:,} dimensions; it takes 1 to {MAX_DIMENSIONS}")
            sizes = tuple(self._u64() for _ in range(num_dimensions))
            type_number, offset = self._u32(), self._u64()
            infos[name] = TensorInfo(type_number, sizes[::-1], offset, self._num_bytes(name, sizes, type_number))
        return infos

    def check_alignment(self, metadata: Mapping[str, Any]) -> int:
        """Return the alignment of the tensors in bytes."""
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if type(alignment) is not int or not 8 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
            raise self._bad(f"has the alignment {alignment!r:.40}; it takes a power of two from 8 to {MAX_ALIGNMENT:,}")
        return alignment

    # --- values

    @property
    def _left(self) -> int:
        return self._end - self.position

    def _value(self, key: str, type_number: int, depth: int) -> Any:
        if type_number == _STRING:
            return self._string(f"Metadata entry {key!r}", MAX_STRING_BYTES).decode("utf-8", "replace")
        if type_number == _ARRAY:
            return self._array(key, depth)
        number = _NUMBERS.get(type_number)
        if number is None:
            raise self._bad(f"gives metadata entry {key!r} the unknown type {type_number}")
        value = self._number(number)
        return self._bool(key, value) if type_number == _BOOL else value

    def _array(self, key: str, depth: int) -> list[Any]:
        if depth == MAX_ARRAY_DEPTH:
            raise self._bad(f"nests arrays more than {MAX_ARRAY_DEPTH} deep in metadata entry {key!r}")
        type_number, length = self._u32(), self._u64()
        number = _NUMBERS.get(type_number)
        if number is None and type_number not in (_STRING, _ARRAY):
            raise self._bad(f"has an array of the unknown type {type_number} in metadata entry {key!r}")
        smallest = number.size if number else 8 if type_number == _STRING else 12
        if length * smallest > self._left:
            raise self._bad(f"is cut short: metadata entry {key!r} claims {length:,} values, more than the file holds")
        self._values_left -= length
        if self._values_left < 0:
            raise self._bad(f"holds more than {MAX_ARRAY_VALUES:,} array values")
        if type_number == _STRING:
            return self._strings(key, length)
        if number is None:
            return [self._array(key, depth + 1) for _ in range(length)]
        values = list(struct.unpack_from(f"<{length}{number.format[1:]}", self._data, self.position))
        self.position += length * number.size
        return [self._bool(key, value) for value in values] if type_number == _BOOL else values

    def _strings(self, key: str, length: int) -> list[str]:
        """Read consecutive strings. A vocabulary and its merges have over 100,000, so the loop calls no functions."""
        data, end, position, read_length = self._data, self._end, self.position, _U64.unpack_from
        strings: list[str] = []
        append = strings.append
        try:
            for _ in range(length):
                begin = position + 8
                position = begin + read_length(data, position)[0]
                if position > end:
                    break
                append(data[begin:position].decode("utf-8", "replace"))
        except struct.error:
            pass
        if len(strings) < length:
            raise self._bad(f"is cut short in the strings of metadata entry {key!r}")
        self.position = position
        return strings

    def _bool(self, key: str, value: int) -> bool:
        if value not in (0, 1):
            raise self._bad(f"has the value {value} in metadata entry {key!r}, which must be true or false")
        return value == 1

    def _name(self, what: str, max_bytes: int) -> str:
        try:
            return self._string(what, max_bytes).decode("utf-8")
        except UnicodeDecodeError:
            raise self._bad(f"is damaged: {what.lower()} is not text") from None

    def _string(self, what: str, max_bytes: int) -> bytes:
        length = self._u64()
        if length > max_bytes:
            raise self._bad(f"is damaged: {what.lower()} claims {length:,} bytes; the limit is {max_bytes:,}")
        if length > self._left:
            raise self._bad(f"is cut short: {what.lower()} claims {length:,} bytes and {self._left:,} are left")
        begin, self.position = self.position, self.position + length
        string: bytes = self._data[begin : self.position]
        return string

    def _u32(self) -> int:
        value: int = self._number(_U32)
        return value

    def _u64(self) -> int:
        value: int = self._number(_U64)
        return value

    def _number(self, number: struct.Struct) -> Any:
        if number.size > self._left:
            raise self._bad("is cut short: it ends inside its header")
        value = number.unpack_from(self._data, self.position)[0]
        self.position += number.size
        return value

    def _num_bytes(self, name: str, sizes: tuple[int, ...], type_number: int) -> int | None:
        if min(sizes) < 1:
            raise self._bad(f"gives tensor {name!r} the empty shape {list(sizes[::-1])}")
        if type_number == I8:
            return prod(sizes)
        dtype = DTYPES.get(type_number)
        if dtype is None:
            return None
        if sizes[0] % BLOCK_LENGTH[dtype]:
            raise self._bad(
                f"gives tensor {name!r} rows of {sizes[0]:,} values; {dtype} holds multiples of {BLOCK_LENGTH[dtype]}"
            )
        return prod(sizes) // BLOCK_LENGTH[dtype] * BLOCK_BYTES[dtype]

    def _bad(self, problem: str) -> BadModelFile:
        return BadModelFile(f"{self._file_name} {problem}.")
