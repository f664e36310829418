"""Encodings of a matrix's rows as bytes, in addition to the types that file formats have. Little-endian.

    Q8_0, Q4_0 …       the types of GGUF, for files of other formats
    affine             d f16 of each group · m f16 of each group · u of b bits     w = d u + m
    absmax             d f16 of each group · q + 2^(b-1) of b bits                 w = d q
    minmax             low f32 of each group · high f32 of each group · u          w = u (high - low) / (2^b - 1) + low
                       per tensor: low and high are in the descriptor

A group is a run of values of one row; without groups the whole row is one. If the values can be represented exactly in
one of the engine's block types, rows are decoded to that type: nothing is rounded again, and the engine runs them
directly.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from llmos.engine.formats.bits import pack, packed_bytes, unpack
from llmos.engine.tensors import BLOCK_BYTES, BLOCK_LENGTH, DType, RawTensor

# R rows, C columns, G groups of a row, B values of a block

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_BLOCK = 32
MAX_COLUMNS = 1 << 24


class Encoding(Protocol):
    """The encoding of a matrix, or of some of its rows, in a file."""

    @property
    def label(self) -> str:
        """The name for people to read: "Q4_1", "minmax 3 bits"."""

    def dtype(self, num_columns: int) -> DType:
        """Return the type that rows are decoded to."""

    def num_bytes(self, num_rows: int, num_columns: int) -> int:
        """Return the size of a matrix. Raises ValueError, with the reason, for a shape that the encoding can't have."""

    def take(self, payload: Bytes, shape: tuple[int, int], rows: Any) -> RawTensor:
        """Decode these rows (a slice or an index array) of the matrix of this shape in `payload`."""

    def fields(self) -> dict[str, Any]:
        """Return the fields of a descriptor: "encoding" and others."""


class RowEncoding(ABC):
    """An Encoding that stores rows one after another, all in the same number of bytes."""

    __slots__ = ()

    @abstractmethod
    def row_bytes(self, num_columns: int) -> int:
        """Return the size of a row. Raises ValueError, with the reason, for a width that the encoding can't have."""

    @abstractmethod
    def decode(self, rows: Bytes, num_columns: int) -> RawTensor:
        """Decode rows, uint8 [R, row_bytes]."""

    def num_bytes(self, num_rows: int, num_columns: int) -> int:
        return num_rows * self.row_bytes(num_columns)

    def take(self, payload: Bytes, shape: tuple[int, int], rows: Any) -> RawTensor:
        return self.decode(payload.reshape(shape[0], self.row_bytes(shape[1]))[rows], shape[1])


@dataclass(frozen=True, slots=True)
class Blocks(RowEncoding):
    """A type of GGUF, including the float types."""

    kind: DType

    @property
    def label(self) -> str:
        return self.kind

    def dtype(self, num_columns: int) -> DType:
        return self.kind

    def row_bytes(self, num_columns: int) -> int:
        _check_group(BLOCK_LENGTH[self.kind], num_columns)
        return num_columns // BLOCK_LENGTH[self.kind] * BLOCK_BYTES[self.kind]

    def decode(self, rows: Bytes, num_columns: int) -> RawTensor:
        return RawTensor(self.kind, (len(rows), num_columns), rows)

    def fields(self) -> dict[str, Any]:
        return {"encoding": self.kind}


@dataclass(frozen=True, slots=True)
class Affine(RowEncoding):
    """w = d u + m. With up to 4 bits and groups of whole blocks, rows are decoded to Q4_1."""

    bits: int
    group: int

    name: ClassVar = "affine"

    @property
    def label(self) -> str:
        return f"{self.bits} bits, groups of {self.group}"

    def dtype(self, num_columns: int) -> DType:
        return "Q4_1" if self.bits <= 4 and self.group % _BLOCK == 0 else "F32"

    def row_bytes(self, num_columns: int) -> int:
        _check_group(self.group, num_columns)
        return num_columns // self.group * 4 + packed_bytes(num_columns, self.bits)

    def encode(self, d_RG: Floats, m_RG: Floats, u_RC: Bytes) -> Bytes:
        parts = [d_RG.astype("<f2").view(np.uint8), m_RG.astype("<f2").view(np.uint8), pack(u_RC, self.bits)]
        return np.concatenate(parts, axis=1)

    def decode(self, rows: Bytes, num_columns: int) -> RawTensor:
        num_groups = num_columns // self.group
        d, m, packed = _split(rows, 2 * num_groups, 2 * num_groups)
        u_RC = unpack(packed, num_columns, self.bits)
        if self.dtype(num_columns) == "Q4_1":
            return _nibble_blocks("Q4_1", [d, m], u_RC, self.group)
        d_RG1, m_RG1 = (part.view("<f2").astype(np.float32)[:, :, None] for part in (d, m))
        return _floats(u_RC.reshape(len(rows), num_groups, self.group) * d_RG1 + m_RG1, num_columns)

    def fields(self) -> dict[str, Any]:
        return {"encoding": self.name, "bits": self.bits, "group": self.group}


@dataclass(frozen=True, slots=True)
class AbsMax(RowEncoding):
    """w = d q, |q| < 2^(b-1). With groups of whole blocks, rows are decoded to Q8_0 or Q4_0."""

    bits: int
    group: int | None

    name: ClassVar = "absmax"

    @property
    def label(self) -> str:
        return f"absmax {self.bits} bits"

    def dtype(self, num_columns: int) -> DType:
        if (self.group or num_columns) % _BLOCK:
            return "F32"
        return "Q8_0" if self.bits == 8 else "Q4_0"

    def row_bytes(self, num_columns: int) -> int:
        group = self.group or num_columns
        _check_group(group, num_columns)
        return num_columns // group * 2 + packed_bytes(num_columns, self.bits)

    def encode(self, d_RG: Floats, q_RC: npt.NDArray[np.int8]) -> Bytes:
        u_RC = q_RC.view(np.uint8) + np.uint8(1 << (self.bits - 1))
        return np.concatenate([d_RG.astype("<f2").view(np.uint8), pack(u_RC, self.bits)], axis=1)

    def decode(self, rows: Bytes, num_columns: int) -> RawTensor:
        group = self.group or num_columns
        num_groups = num_columns // group
        d, packed = _split(rows, 2 * num_groups)
        u_RC = unpack(packed, num_columns, self.bits)
        kind = self.dtype(num_columns)
        if kind == "Q4_0":
            return _nibble_blocks("Q4_0", [d], u_RC, group)
        q_RC = (u_RC - np.uint8(1 << (self.bits - 1))).view(np.int8)
        if kind == "Q8_0":
            d_RB = _for_each_block(d, group)
            blocks = np.concatenate(
                [d_RB, q_RC.view(np.uint8).reshape(len(rows), num_columns // _BLOCK, _BLOCK)], axis=2
            )
            return RawTensor("Q8_0", (len(rows), num_columns), _flat(blocks))
        d_RG1 = d.view("<f2").astype(np.float32)[:, :, None]
        return _floats(q_RC.reshape(len(rows), num_groups, group) * d_RG1, num_columns)

    def fields(self) -> dict[str, Any]:
        return {"encoding": self.name, "bits": self.bits, "group": self.group}


@dataclass(frozen=True, slots=True)
class MinMax(RowEncoding):
    """w = u (high - low) / (2^b - 1) + low."""

    bits: int
    group: int | None = None
    low: float | None = None
    """With `high`: the smallest and the largest value of the whole tensor, instead of those of each group."""
    high: float | None = None

    name: ClassVar = "minmax"

    @property
    def label(self) -> str:
        return f"minmax {self.bits} bits"

    def dtype(self, num_columns: int) -> DType:
        return "F32"

    def row_bytes(self, num_columns: int) -> int:
        return self._num_groups(num_columns) * 8 + packed_bytes(num_columns, self.bits)

    def encode(self, low_RG: Floats, high_RG: Floats, u_RC: Bytes) -> Bytes:
        packed = pack(u_RC, self.bits)
        if self.low is not None:
            return packed
        ends = [np.ascontiguousarray(end_RG, "<f4").view(np.uint8) for end_RG in (low_RG, high_RG)]
        return np.concatenate([*ends, packed], axis=1)

    def decode(self, rows: Bytes, num_columns: int) -> RawTensor:
        num_groups = self._num_groups(num_columns)
        low, high, packed = _split(rows, 4 * num_groups, 4 * num_groups)
        if self.low is not None and self.high is not None:
            low_RG1, high_RG1 = (np.full((1, 1, 1), end) for end in (self.low, self.high))
        else:
            low_RG1, high_RG1 = (part.view("<f4").astype(np.float64)[:, :, None] for part in (low, high))
        u_RGC = unpack(packed, num_columns, self.bits).reshape(len(rows), max(num_groups, 1), self.group or num_columns)
        return _floats(u_RGC * ((high_RG1 - low_RG1) / (2**self.bits - 1)) + low_RG1, num_columns)

    def fields(self) -> dict[str, Any]:
        ends = {"low": self.low, "high": self.high} if self.low is not None else {}
        return {"encoding": self.name, "bits": self.bits, "group": self.group, **ends}

    def _num_groups(self, num_columns: int) -> int:
        if self.low is not None:
            return 0
        _check_group(self.group or num_columns, num_columns)
        return num_columns // (self.group or num_columns)


def encoding_from_fields(fields: Mapping[str, Any]) -> Encoding:
    """Return the encoding with these descriptor fields. Raises ValueError, with the reason, for invalid fields."""
    name = fields.get("encoding")
    known: dict[str, DType] = {kind: kind for kind in BLOCK_LENGTH}
    if isinstance(name, str) and name in known:
        return Blocks(known[name])
    if name == Affine.name:
        return Affine(_whole(fields, "bits", 2, 8), _whole(fields, "group", 1, MAX_COLUMNS))
    if name == AbsMax.name:
        bits = _whole(fields, "bits", 4, 8)
        if bits not in (4, 8):
            raise ValueError(f"bits is {bits}")
        return AbsMax(bits, _group(fields))
    if name == MinMax.name:
        low, high = fields.get("low"), fields.get("high")
        if low is None and high is None:
            return MinMax(_whole(fields, "bits", 2, 8), _group(fields))
        if not (isinstance(low, float) and isinstance(high, float) and isfinite(low) and isfinite(high)):
            raise ValueError("low and high are not numbers")
        return MinMax(_whole(fields, "bits", 2, 8), None, low, high)
    raise ValueError(f"there is no encoding {name!r:.40}")


def _group(fields: Mapping[str, Any]) -> int | None:
    return None if fields.get("group") is None else _whole(fields, "group", 1, MAX_COLUMNS)


def _whole(fields: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = fields.get(name)
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} is {value!r:.40}")
    return value


def _check_group(group: int, num_columns: int) -> None:
    if num_columns % group:
        raise ValueError(f"rows of {num_columns:,} values are not divisible into groups of {group:,}")


def _split(rows: Bytes, *sizes: int) -> list[Bytes]:
    """Split rows into parts of these sizes in bytes and a rest, each contiguous so that it can have another type."""
    ends = np.cumsum(sizes).tolist()
    return [np.ascontiguousarray(part) for part in np.split(rows, ends, axis=1)]


def _floats(values: npt.NDArray[Any], num_columns: int) -> RawTensor:
    rows = np.ascontiguousarray(_flat(values), np.float32)
    return RawTensor("F32", (len(rows), num_columns), rows.view(np.uint8))


def _for_each_block(halves: Bytes, group: int) -> Bytes:
    """Repeat the float16 of each group for each of its blocks: uint8 [R, B, 2]."""
    return np.repeat(halves.reshape(len(halves), halves.shape[1] // 2, 2), group // _BLOCK, axis=1)


def _nibble_blocks(kind: DType, halves: list[Bytes], u_RC: Bytes, group: int) -> RawTensor:
    """Return blocks of float16s followed by bytes j with value j (low nibble) and j + 16 (high nibble)."""
    u_RB2x16 = u_RC.reshape(len(u_RC), u_RC.shape[1] // _BLOCK, 2, _BLOCK // 2)
    nibbles = u_RB2x16[:, :, 0] | (u_RB2x16[:, :, 1] << np.uint8(4))
    blocks = np.concatenate([*(_for_each_block(each, group) for each in halves), nibbles], axis=2)
    return RawTensor(kind, u_RC.shape, _flat(blocks))


def _flat(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Join all axes but the first. Unlike reshape(len, -1), it accepts zero rows."""
    return values.reshape(len(values), values.shape[1] * values.shape[2])
