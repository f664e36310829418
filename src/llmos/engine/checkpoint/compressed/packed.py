"""Integers of compressed-tensors: packed ("pack-quantized", words of [O, I/8] at 4 bits) or bytes ("int-quantized").

Source of the layout: compressed_tensors' pack_to_int32. Levels are stored without a sign, packed densely along the
columns; zero points are packed along the rows, and absent where the scheme is symmetric.
"""

import numpy as np

from llmos.core.errors import BadModelFile
from llmos.engine.checkpoint.compressed.grid import Floats, Grid, Levels, OnGrid, unpack
from llmos.engine.checkpoint.compressed.parts import Parts


class Packed(OnGrid):
    MAIN = "weight_packed"
    TYPES = frozenset({"I32"})
    PARTS = frozenset({"weight_packed", "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx"})

    def grid(self, parts: Parts) -> Grid:
        num_rows, num_columns = self._shape(parts)
        bits = self._bits(parts)
        scales_OG = parts.get("weight_scale", 2).astype(np.float32)
        parts.check("weight_scale", (num_rows, scales_OG.shape[1]))
        zeros_OG = np.full(scales_OG.shape, 1 << (bits - 1), np.float32)
        if "weight_zero_point" in parts.arrays:
            words_OG = parts.get("weight_zero_point", 2)
            zeros_GO = unpack(np.ascontiguousarray(words_OG.T), bits, num_rows)
            if zeros_GO.shape != scales_OG.T.shape:
                raise BadModelFile(f"{parts.module}: the zero points and the scales are for different groups.")
            zeros_OG = zeros_GO.T.astype(np.float32)
        groups = parts.group_of_column("weight_g_idx", num_columns, scales_OG.shape[1])
        return Grid(bits, scales_OG, zeros_OG, groups)

    def levels(self, parts: Parts) -> Levels:
        num_rows, num_columns = self._shape(parts)
        levels = unpack(parts.get(self.MAIN, 2), self._bits(parts), num_columns)
        if levels.shape != (num_rows, num_columns):
            raise BadModelFile(f"{parts.module}.weight_packed is too small for {num_rows} x {num_columns} values.")
        return levels

    def _shape(self, parts: Parts) -> tuple[int, int]:
        shape = parts.get("weight_shape", 1)
        parts.check("weight_shape", (2,))
        return int(shape[0]), int(shape[1])

    def _bits(self, parts: Parts) -> int:
        _, num_columns = self._shape(parts)
        bits: int = parts.get(self.MAIN, 2).shape[1] * 32 // max(num_columns, 1)
        if not 1 <= bits <= 8:
            raise BadModelFile(f"{parts.module}.weight_packed and weight_shape contradict each other.")
        return bits


class PlainBytes(OnGrid):
    """A matrix of int8 with a scale for each row, or for each group of columns."""

    MAIN = "weight"
    TYPES = frozenset({"I8"})
    PARTS = frozenset({"weight", "weight_scale", "weight_zero_point", "input_scale", "input_zero_point"})

    def grid(self, parts: Parts) -> Grid:
        num_rows, num_columns = parts.get("weight", 2).shape
        scales_OG = _by_row(parts, "weight_scale", num_rows)
        zeros_OG = np.full(scales_OG.shape, 128, np.float32)
        if "weight_zero_point" in parts.arrays:
            zeros_OG += _by_row(parts, "weight_zero_point", num_rows)
        return Grid(8, scales_OG, zeros_OG, parts.group_of_column("weight_g_idx", num_columns, scales_OG.shape[1]))

    def levels(self, parts: Parts) -> Levels:
        return parts.get("weight", 2).view(np.uint8) ^ np.uint8(0x80)


def _by_row(parts: Parts, name: str, num_rows: int) -> Floats:
    """Return [O, G] numbers: one for all rows is repeated."""
    numbers = parts.arrays[name].astype(np.float32) if name in parts.arrays else parts.get(name, 2)
    numbers = numbers.reshape(-1, 1) if numbers.ndim < 2 else numbers
    if numbers.ndim != 2 or len(numbers) not in (1, num_rows):
        raise BadModelFile(f"{parts.module}.{name} is {list(numbers.shape)}; the matrix has {num_rows} rows.")
    return np.broadcast_to(numbers, (num_rows, numbers.shape[1]))
