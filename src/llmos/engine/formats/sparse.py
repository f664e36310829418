"""Matrices with many zero weights, stored without the zeros. All rows have the same number of kept weights. A row:

    places   which weights are kept: one bit each, or with "2:4" one byte for three groups of four columns, since two of
             four can be chosen in 6 ways and 6 * 6 * 6 fits into a byte
    scales   for block types, the scales of each block of the dense row: d, for Q4_1 d and m
    values   the kept weights, as the dense row stores them: 32, 16, 8 or 4 bits

Kept weights keep their exact value. Rows are decoded to their dense type, but Q4_1 to F32, because a Q4_1 block can't
represent zero. Bits per weight of the matrix if half of the weights are kept:

    dense     F32 32    F16, BF16 16    Q8_0 8.5    Q4_1 5    Q4_0 4.5
    bits          17               9         5.5         4         3.5
    2:4           16.7             8.7       5.2         3.7       3.2
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile
from llmos.engine.formats.bits import pack, packed_bytes, unpack
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import MAX_COLUMNS, RowEncoding
from llmos.engine.tensors import BLOCK_BYTES, BLOCK_LENGTH, DType, RawTensor

# R rows, C columns, K kept weights of a row, N groups of four columns

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
MaskFormat = Literal["bits", "2:4"]

SPARSE_DTYPES: tuple[DType, ...] = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1")
"""The dense types that can be stored sparse."""

_SCALE_BYTES: dict[DType, int] = {"F32": 0, "F16": 0, "BF16": 0, "Q8_0": 2, "Q4_0": 2, "Q4_1": 4}
_NIBBLES = ("Q4_0", "Q4_1")
_ZERO: dict[DType, int] = {"Q4_0": 8}
"""The code of zero in types where that isn't 0."""

_PAIRS = np.array([[i in pair for i in range(4)] for pair in combinations(range(4), 2)], np.bool_)
_TRIPLES = np.array([np.concatenate([_PAIRS[i] for i in indices]) for indices in product(range(6), repeat=3)])
"""bool [216, 12]: the columns of three groups of four that are kept, for each value of a byte."""


@dataclass(frozen=True, slots=True)
class Sparse(RowEncoding):
    """A sparse encoding with the same number of kept weights in every row."""

    kind: DType
    """The type of the dense matrix, one of SPARSE_DTYPES."""
    kept: int
    """Kept weights of a row."""
    mask_format: MaskFormat
    """The format of the kept weights' positions; "places" in a descriptor."""

    name: ClassVar = "sparse"

    @property
    def label(self) -> str:
        return f"sparse {self.kind}"

    def dtype(self, num_columns: int) -> DType:
        return "F32" if self.kind == "Q4_1" else self.kind

    def row_bytes(self, num_columns: int) -> int:
        if num_columns % BLOCK_LENGTH[self.kind]:
            raise ValueError(f"rows of {num_columns:,} values are not divisible into blocks of {self.kind}")
        if self.mask_format == "2:4" and (num_columns % 4 or self.kept != num_columns // 2):
            raise ValueError(f"{self.kept:,} of {num_columns:,} values are not two of every four")
        if self.kept > num_columns:
            raise ValueError(f"{self.kept:,} kept values are more than a row's {num_columns:,}")
        return sum(self._sizes(num_columns))

    def encode(self, rows: RawTensor, kept_RC: Mask) -> Bytes:
        """Encode rows of the dense type. `kept_RC` has `kept` true values in each row."""
        scales, codes_RC = _split(rows)
        codes_RK = codes_RC[kept_RC].reshape(rows.num_rows, self.kept)
        parts = [_pack_mask(kept_RC, self.mask_format), scales, _pack_codes(codes_RK, self.kind)]
        return np.concatenate([part.view(np.uint8) for part in parts], axis=1)

    def decode(self, rows: Bytes, num_columns: int) -> RawTensor:
        shape = (len(rows), num_columns)
        mask_bytes, scale_bytes, _ = self._sizes(num_columns)
        mask, scales, values = np.split(rows, np.cumsum([mask_bytes, scale_bytes]).tolist(), axis=1)
        kept_RC = _unpack_mask(mask, num_columns, self.mask_format)
        if (kept_RC.sum(axis=1) != self.kept).any():
            raise BadModelFile("A sparse tensor is damaged: a row has too many or too few places. Download it again.")
        codes_RC = np.full(shape, _ZERO.get(self.kind, 0), _code_type(self.kind))
        codes_RC[kept_RC] = _unpack_codes(values, self.kept, self.kind).reshape(-1)
        return _join(scales, codes_RC, kept_RC, self.kind)

    def fields(self) -> dict[str, Any]:
        return {"encoding": self.name, "kind": self.kind, "kept": self.kept, "places": self.mask_format}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "Sparse":
        """Return the encoding with these descriptor fields. Raises ValueError, with the reason, for invalid fields."""
        kinds = {kind: kind for kind in SPARSE_DTYPES}
        known: dict[str, MaskFormat] = {"bits": "bits", "2:4": "2:4"}
        kind, kept, mask_format = fields.get("kind"), fields.get("kept"), fields.get("places")
        if not (isinstance(kind, str) and kind in kinds and isinstance(mask_format, str) and mask_format in known):
            raise ValueError(f"no sparse encoding is of {kind!r:.40} by {mask_format!r:.40}")
        if type(kept) is not int or not 0 <= kept <= MAX_COLUMNS:
            raise ValueError(f"kept is {kept!r:.40}")
        return cls(kinds[kind], kept, known[mask_format])

    def _sizes(self, num_columns: int) -> tuple[int, int, int]:
        """Return the sizes of a row's places, scales and values in bytes."""
        mask_bytes = packed_bytes(num_columns, 1) if self.mask_format == "bits" else -(-num_columns // 12)
        scale_bytes = num_columns // BLOCK_LENGTH[self.kind] * _SCALE_BYTES[self.kind]
        is_nibbles = self.kind in _NIBBLES
        return (
            mask_bytes,
            scale_bytes,
            packed_bytes(self.kept, 4) if is_nibbles else self.kept * _code_type(self.kind).itemsize,
        )


def _split(rows: RawTensor) -> tuple[Bytes, Codes]:
    """Return the scales of each row, and the code of each weight [R, C]."""
    kind, shape = rows.dtype, (rows.num_rows, rows.num_columns)
    data = np.ascontiguousarray(rows.data)
    if not _SCALE_BYTES[kind]:
        return np.empty((len(data), 0), np.uint8), data.view(_code_type(kind)).reshape(shape)
    blocks = data.reshape(-1, BLOCK_BYTES[kind])
    scales, codes = blocks[:, : _SCALE_BYTES[kind]], blocks[:, _SCALE_BYTES[kind] :]
    if kind in _NIBBLES:  # byte j of a block holds the values j and j + 16
        codes = np.concatenate([codes & np.uint8(15), codes >> np.uint8(4)], axis=1)
    return scales.reshape(len(data), -1), codes.reshape(shape)


def _join(scales: Bytes, codes_RC: Codes, kept_RC: Mask, kind: DType) -> RawTensor:
    """Return rows of the dense type from scales and codes, the inverse of _split. Weights that aren't kept are zero."""
    shape = codes_RC.shape
    if not _SCALE_BYTES[kind]:
        return RawTensor(kind, shape, codes_RC.view(np.uint8).reshape(shape[0], -1))
    codes: Bytes = codes_RC.reshape(-1, BLOCK_LENGTH[kind])
    if kind in _NIBBLES:
        half = BLOCK_LENGTH[kind] // 2
        codes = codes[:, :half] | (codes[:, half:] << np.uint8(4))
    blocks = np.concatenate([scales.reshape(-1, _SCALE_BYTES[kind]), codes], axis=1)
    tensor = RawTensor(kind, shape, blocks.reshape(shape[0], -1))
    if kind != "Q4_1":
        return tensor
    values_RC = dequantize(tensor)
    values_RC[~kept_RC] = 0
    return RawTensor("F32", shape, values_RC.view(np.uint8))


def _pack_mask(kept_RC: Mask, mask_format: MaskFormat) -> Bytes:
    if mask_format == "bits":
        return np.packbits(kept_RC, axis=1, bitorder="little")
    groups_RN4 = kept_RC.reshape(len(kept_RC), -1, 4)
    assert (groups_RN4.sum(axis=2) == 2).all()
    pair_index = np.zeros(16, np.uint8)
    pair_index[_PAIRS @ (1 << np.arange(4))] = np.arange(6)
    indexes_RN = pair_index[groups_RN4 @ (1 << np.arange(4))]
    padded_RN = np.pad(indexes_RN, ((0, 0), (0, -indexes_RN.shape[1] % 3)))
    packed: Bytes = (padded_RN.reshape(len(kept_RC), -1, 3) @ np.array([36, 6, 1])).astype(np.uint8)
    return packed


def _unpack_mask(packed: Bytes, num_columns: int, mask_format: MaskFormat) -> Mask:
    if mask_format == "bits":
        return np.unpackbits(packed, axis=1, count=num_columns, bitorder="little").view(np.bool_)
    if packed.size and packed.max() >= len(_TRIPLES):
        raise BadModelFile("A sparse tensor is damaged: a byte of its places has an invalid value. Download it again.")
    kept_RC: Mask = _TRIPLES[packed].reshape(len(packed), -1)[:, :num_columns]
    return kept_RC


def _code_type(kind: DType) -> "np.dtype[Any]":
    return np.dtype({"F32": "<u4", "F16": "<u2", "BF16": "<u2"}.get(kind, "u1"))


def _pack_codes(codes_RK: Codes, kind: DType) -> Codes:
    return pack(codes_RK, 4) if kind in _NIBBLES else np.ascontiguousarray(codes_RK)


def _unpack_codes(values: Bytes, kept: int, kind: DType) -> Codes:
    return unpack(values, kept, 4) if kind in _NIBBLES else np.ascontiguousarray(values).view(_code_type(kind))
