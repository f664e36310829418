"""Integers on a grid of scales and zero points, encoded as blocks: without loss where a type of blocks has the values.

A value is (level - zero) * scale, with one scale and zero for each row and group of columns.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile
from llmos.engine.checkpoint.compressed.parts import Parts
from llmos.engine.tensors import BLOCK_LENGTH, DType, RawTensor

Floats = npt.NDArray[np.float32]
Levels = npt.NDArray[np.uint8]

_BLOCK = BLOCK_LENGTH["Q4_0"]


@dataclass(frozen=True, slots=True)
class Grid:
    """The scales and zero points of a matrix of [O, I] levels with `bits` bits, in G groups of columns."""

    bits: int
    scales_OG: Floats
    zeros_OG: Floats
    group_of_column_I: npt.NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.scales_OG), len(self.group_of_column_I)

    def dtype(self) -> DType:
        """Return the type of blocks that holds the values: F32 where only that does.

        Q4_1 stores -zero * scale in 16 bits, so that a value may be off by 0.4 % of a level. The others are exact.
        """
        if not self._has_whole_blocks() or not np.array_equal(self.scales_OG.astype(np.float16), self.scales_OG):
            return "F32"
        is_symmetric = bool(np.all(self.zeros_OG == 1 << (self.bits - 1)))
        if self.bits == 4:
            return "Q4_0" if is_symmetric else "Q4_1"
        return "Q8_0" if self.bits == 8 and is_symmetric else "F32"

    def encode(self, levels_OI: Levels) -> RawTensor:
        """Return the matrix in blocks of dtype()."""
        dtype = self.dtype()
        if dtype == "F32":
            groups = self.group_of_column_I
            values_OI = (levels_OI - self.zeros_OG[:, groups]) * self.scales_OG[:, groups]
            return RawTensor("F32", levels_OI.shape, values_OI.astype("<f4", order="C").view(np.uint8))
        groups_of_blocks = self.group_of_column_I[::_BLOCK]
        scales_ON = np.ascontiguousarray(self.scales_OG[:, groups_of_blocks])
        heads = [scales_ON]
        if dtype == "Q4_1":
            heads.append(-self.zeros_OG[:, groups_of_blocks] * scales_ON)
        levels_ONB = levels_OI.reshape(len(levels_OI), -1, _BLOCK)
        if dtype == "Q8_0":
            body = levels_ONB ^ np.uint8(0x80)  # level - 128 as int8
        else:
            body = levels_ONB[..., : _BLOCK // 2] | levels_ONB[..., _BLOCK // 2 :] << np.uint8(4)
        parts = [each.astype("<f2", order="C")[..., None].view(np.uint8) for each in heads]
        blocks = np.concatenate([*parts, body], axis=-1)
        return RawTensor(dtype, levels_OI.shape, blocks.reshape(len(levels_OI), -1))

    def _has_whole_blocks(self) -> bool:
        """Return whether no block of columns is in two groups."""
        if self.shape[1] % _BLOCK:
            return False
        by_block = self.group_of_column_I.reshape(-1, _BLOCK)
        return bool(np.all(by_block == by_block[:, :1]))


class OnGrid(ABC):
    """A method that stores levels on a grid."""

    MAIN: str
    """The part that a compressed matrix has, and no other."""
    TYPES: frozenset[str]
    """The types of that part, as safetensors names them."""
    PARTS: frozenset[str]

    @abstractmethod
    def grid(self, parts: Parts) -> Grid:
        """Read all but the levels. Raises BadModelFile."""

    @abstractmethod
    def levels(self, parts: Parts) -> Levels:
        """Return the levels [O, I]. Raises BadModelFile."""

    def dtype(self, parts: Parts) -> DType:
        return self.grid(parts).dtype()

    def shape(self, parts: Parts) -> tuple[int, ...]:
        return self.grid(parts).shape

    def read(self, parts: Parts) -> RawTensor:
        grid, levels = self.grid(parts), self.levels(parts)
        if levels.shape != grid.shape:
            raise BadModelFile(f"{parts.module} has {list(levels.shape)} levels instead of {list(grid.shape)}.")
        return grid.encode(levels)


def unpack(words: npt.NDArray[np.int32], bits: int, count: int) -> Levels:
    """Return the first `count` levels of each row of [R, W] words, in which they lie one behind the other, lowest bits
    first. A level may begin in one word and end in the next.
    """
    as_bytes = np.ascontiguousarray(words).view(np.uint8)
    if bits == 8:
        return as_bytes[:, :count]
    if bits == 4:
        pairs = np.stack([as_bytes & np.uint8(15), as_bytes >> np.uint8(4)], axis=-1)
        return pairs.reshape(len(words), -1)[:, :count]
    each_bit = np.unpackbits(as_bytes, axis=1, bitorder="little")[:, : count * bits].reshape(len(words), -1, bits)
    weights = np.uint8(1) << np.arange(bits, dtype=np.uint8)
    levels: Levels = (each_bit * weights).sum(axis=-1, dtype=np.uint8)
    return levels
