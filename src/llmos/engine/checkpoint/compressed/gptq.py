"""GPTQ's format (AutoGPTQ, GPTQModel): levels packed along the columns, in words of [I/8, O] at 4 bits. At 3 bits a
level may begin in one word and end in the next: 32 levels take 3 words.

Source of the layout: the files' own documentation in AutoGPTQ's QuantLinear. Zero points are stored less 1, but not in
the format gptq_v2. With desc_act, g_idx gives each column its group.
"""

import numpy as np

from llmos.engine.checkpoint.compressed.grid import Grid, Levels, OnGrid, unpack
from llmos.engine.checkpoint.compressed.parts import Parts


class GPTQ(OnGrid):
    MAIN = "qweight"
    TYPES = frozenset({"I32"})
    PARTS = frozenset({"qweight", "qzeros", "scales", "g_idx"})

    def __init__(self, bits: int, zero_offset: int) -> None:
        """`zero_offset`: what is added to a stored zero point."""
        self.bits, self.zero_offset = bits, zero_offset

    def grid(self, parts: Parts) -> Grid:
        scales_GO = parts.get("scales", 2).astype(np.float32)
        words_GW = parts.get("qzeros", 2)
        num_groups, num_rows = scales_GO.shape
        parts.check("qzeros", (num_groups, -(-num_rows * self.bits // 32)))
        zeros_GO = unpack(words_GW, self.bits, num_rows).astype(np.float32) + self.zero_offset
        num_columns = parts.get(self.MAIN, 2).shape[0] * 32 // self.bits
        return Grid(self.bits, scales_GO.T, zeros_GO.T, parts.group_of_column("g_idx", num_columns, num_groups))

    def levels(self, parts: Parts) -> Levels:
        words_WO = parts.get(self.MAIN, 2)
        return unpack(np.ascontiguousarray(words_WO.T), self.bits, words_WO.shape[0] * 32 // self.bits)
