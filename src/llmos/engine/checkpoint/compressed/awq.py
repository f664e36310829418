"""AWQ's format for matrix products ("gemm"): levels of 4 bits packed along the rows, in words of [I, O/8].

Source of the layout: AutoAWQ's WQLinear_GEMM, which puts the rows 0 2 4 6 1 3 5 7 of eight into a word, lowest first.
"""

import numpy as np
import numpy.typing as npt

from llmos.engine.checkpoint.compressed.grid import Grid, Levels, OnGrid, unpack
from llmos.engine.checkpoint.compressed.parts import Parts

BITS = 4
_PLACE_OF_ROW = np.argsort([0, 2, 4, 6, 1, 3, 5, 7])


class AWQ(OnGrid):
    MAIN = "qweight"
    TYPES = frozenset({"I32"})
    PARTS = frozenset({"qweight", "qzeros", "scales"})

    def grid(self, parts: Parts) -> Grid:
        scales_GO = parts.get("scales", 2).astype(np.float32)
        num_groups, num_rows = scales_GO.shape
        zeros_GO = _unpack_rows(parts.get("qzeros", 2))
        parts.check("qzeros", (num_groups, num_rows // 8))
        groups = parts.group_of_column("g_idx", parts.get(self.MAIN, 2).shape[0], num_groups)
        return Grid(BITS, scales_GO.T, zeros_GO.T.astype(np.float32), groups)

    def levels(self, parts: Parts) -> Levels:
        levels_IO = _unpack_rows(parts.get(self.MAIN, 2))
        return np.ascontiguousarray(levels_IO.T)


def _unpack_rows(words: npt.NDArray[np.int32]) -> Levels:
    """Return [R, 8 W] levels of [R, W] words, in the order of the matrix."""
    levels = unpack(words, BITS, words.shape[1] * 8).reshape(len(words), -1, 8)
    return levels[..., _PLACE_OF_ROW].reshape(len(words), -1)
