"""Matrices of which most weights are zero, without the zeros. A row, each as long as the others:

    places   which weights are there: a bit for each, or of "2:4" a byte for three groups of four columns, since two of
             four can lie in 6 ways and 6 * 6 * 6 fit into a byte
    scales   of block types, what each block of the dense row begins with: d, of Q4_1 d and m
    values   those that are there, as the dense row has them: 32 or 16 bits, 8 bits, or 4 bits

Every weight that is there keeps its value to the bit. Rows come out as their dense type again; those of Q4_1 as F32,
because such a block can't say zero. At half of the weights, in bits for each weight of the matrix:

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

# R rows, C columns, K of them kept in each row, N groups of four columns

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
MaskFormat = Literal["bits", "2:4"]

SPARSE_DTYPES: tuple[DType, ...] = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1")
"""The dense types that can lie so."""

_SCALE_BYTES: dict[DType, int] = {"F32": 0, "F16": 0, "BF16": 0, "Q8_0": 2, "Q4_0": 2, "Q4_1": 4}
_NIBBLES = ("Q4_0", "Q4_1")
_ZERO: dict[DType, int] = {"Q4_0": 8}
"""What stands for zero where that isn't 0."""

_PAIRS = np.array([[i in pair for i in range(4)] for pair in combinations(range(4), 2)], np.bool_)
_TRIPLES = np.array([np.concatenate([_PAIRS[i] for i in indices]) for indices in product(range(6), repeat=3)])
"""[216, 12]: what each byte says of three groups of four columns."""


@dataclass(frozen=True, slots=True)
class Sparse(RowEncoding):
    """Of every row the same number of weights is there."""

    kind: DType
    """Of the dense matrix, one of SPARSE_DTYPES."""
    kept: int
    """Weights of a row that are there."""
    mask_format: MaskFormat

    name: ClassVar = "sparse"

    @property
    def label(self) -> str:
        return f"sparse {self.kind}"

    def dtype(self, num_columns: int) -> DType:
        return "F32" if self.kind == "Q4_1" else self.kind

    def row_bytes(self, num_columns: int) -> int:
        if num_columns % BLOCK_LENGTH[self.kind]:
            raise ValueError(f"rows of {num_columns:,} values are no whole blocks of {self.kind}")
        if self.mask_format == "2:4" and (num_columns % 4 or self.kept != num_columns // 2):
            raise ValueError(f"{self.kept:,} of {num_columns:,} values are no two of every four")
        if self.kept > num_columns:
            raise ValueError(f"{self.kept:,} of {num_columns:,} values are none")
        return sum(self._sizes(num_columns))

    def encode(self, rows: RawTensor, kept_RC: Mask) -> Bytes:
        """Return the bytes of rows of the dense type."""
        scales, codes_RC = _split(rows)
        codes_RK = codes_RC[kept_RC].reshape(rows.num_rows, self.kept)
        parts = [_pack_places(kept_RC, self.mask_format), scales, _pack_codes(codes_RK, self.kind)]
        return np.concatenate([part.view(np.uint8) for part in parts], axis=1)

    def decode(self, rows: Bytes, num_columns: int) -> RawTensor:
        shape = (len(rows), num_columns)
        place_bytes, scale_bytes, _ = self._sizes(num_columns)
        places, scales, values = np.split(rows, np.cumsum([place_bytes, scale_bytes]).tolist(), axis=1)
        kept_RC = _unpack_places(places, num_columns, self.mask_format)
        if (kept_RC.sum(axis=1) != self.kept).any():
            raise BadModelFile("A sparse tensor has another number of values than of places. Download it again.")
        codes_RC = np.full(shape, _ZERO.get(self.kind, 0), _code_type(self.kind))
        codes_RC[kept_RC] = _unpack_codes(values, self.kept, self.kind).reshape(-1)
        return _joined(scales, codes_RC, kept_RC, self.kind)

    def fields(self) -> dict[str, Any]:
        return {"encoding": self.name, "kind": self.kind, "kept": self.kept, "places": self.mask_format}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "Sparse":
        """Return what a descriptor says. Raises ValueError, with the reason, for what there is not."""
        kinds = {kind: kind for kind in SPARSE_DTYPES}
        known: dict[str, MaskFormat] = {"bits": "bits", "2:4": "2:4"}
        kind, kept, places = fields.get("kind"), fields.get("kept"), fields.get("places")
        if not (isinstance(kind, str) and kind in kinds and isinstance(places, str) and places in known):
            raise ValueError(f"no sparse matrix is {kind!r:.40} by {places!r:.40}")
        if type(kept) is not int or not 0 <= kept <= MAX_COLUMNS:
            raise ValueError(f"kept is {kept!r:.40}")
        return cls(kinds[kind], kept, known[places])

    def _sizes(self, num_columns: int) -> tuple[int, int, int]:
        """Return the bytes of a row's places, scales and values."""
        place_bytes = packed_bytes(num_columns, 1) if self.mask_format == "bits" else -(-num_columns // 12)
        scale_bytes = num_columns // BLOCK_LENGTH[self.kind] * _SCALE_BYTES[self.kind]
        is_nibbles = self.kind in _NIBBLES
        return (
            place_bytes,
            scale_bytes,
            packed_bytes(self.kept, 4) if is_nibbles else self.kept * _code_type(self.kind).itemsize,
        )


def _split(rows: RawTensor) -> tuple[Bytes, Codes]:
    """Return each row's scales, and a code for every weight [R, C]."""
    kind, shape = rows.dtype, (rows.num_rows, rows.num_columns)
    data = np.ascontiguousarray(rows.data)
    if not _SCALE_BYTES[kind]:
        return np.empty((len(data), 0), np.uint8), data.view(_code_type(kind)).reshape(shape)
    blocks = data.reshape(-1, BLOCK_BYTES[kind])
    scales, codes = blocks[:, : _SCALE_BYTES[kind]], blocks[:, _SCALE_BYTES[kind] :]
    if kind in _NIBBLES:  # byte j of a block holds the values j and j + 16
        codes = np.concatenate([codes & np.uint8(15), codes >> np.uint8(4)], axis=1)
    return scales.reshape(len(data), -1), codes.reshape(shape)


def _joined(scales: Bytes, codes_RC: Codes, kept_RC: Mask, kind: DType) -> RawTensor:
    """The way back from _split. What isn't kept is zero, whatever the scales are."""
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


def _pack_places(kept_RC: Mask, mask_format: MaskFormat) -> Bytes:
    if mask_format == "bits":
        return np.packbits(kept_RC, axis=1, bitorder="little")
    groups_RN4 = kept_RC.reshape(len(kept_RC), -1, 4)
    assert (groups_RN4.sum(axis=2) == 2).all()
    number_of = np.zeros(16, np.uint8)
    number_of[_PAIRS @ (1 << np.arange(4))] = np.arange(6)
    numbers_RN = number_of[groups_RN4 @ (1 << np.arange(4))]
    padded_RN = np.pad(numbers_RN, ((0, 0), (0, -numbers_RN.shape[1] % 3)))
    packed: Bytes = (padded_RN.reshape(len(kept_RC), -1, 3) @ np.array([36, 6, 1])).astype(np.uint8)
    return packed


def _unpack_places(packed: Bytes, num_columns: int, mask_format: MaskFormat) -> Mask:
    if mask_format == "bits":
        return np.unpackbits(packed, axis=1, count=num_columns, bitorder="little").view(np.bool_)
    if packed.size and packed.max() >= len(_TRIPLES):
        raise BadModelFile("A sparse tensor says how no three groups of four lie. Download it again.")
    kept_RC: Mask = _TRIPLES[packed].reshape(len(packed), -1)[:, :num_columns]
    return kept_RC


def _code_type(kind: DType) -> "np.dtype[Any]":
    return np.dtype({"F32": "<u4", "F16": "<u2", "BF16": "<u2"}.get(kind, "u1"))


def _pack_codes(codes_RK: Codes, kind: DType) -> Codes:
    return pack(codes_RK, 4) if kind in _NIBBLES else np.ascontiguousarray(codes_RK)


def _unpack_codes(values: Bytes, kept: int, kind: DType) -> Codes:
    return unpack(values, kept, 4) if kind in _NIBBLES else np.ascontiguousarray(values).view(_code_type(kind))
