"""Which block of the paged KV cache belongs to which sequence. Knows block ids, not what lies in the blocks."""

import numpy as np
import numpy.typing as npt

from llmos.engine.runner import BLOCK_SIZE


def blocks_for(num_positions: int) -> int:
    return -(-num_positions // BLOCK_SIZE)


class BlockTable:
    """The blocks of one sequence, in order of their positions."""

    __slots__ = ("blocks", "capacity", "row")

    def __init__(self, row: int) -> None:
        self.row = row
        """The row of KVCache.tables that mirrors `blocks`."""
        self.blocks: list[int] = []
        self.capacity = 0
        """Positions that the blocks have room for."""


class KVCache:
    """Hands out blocks, and takes them back.

    A block has as many owners as tables that hold it: the choices of one request share the full blocks of their prompt.
    A shared block is never written again, since writing goes on behind the shared part.
    """

    def __init__(self, num_blocks: int, *, max_tables: int, max_blocks_per_table: int) -> None:
        self.num_blocks = num_blocks
        self.tables: npt.NDArray[np.int32] = np.zeros((max_tables, max_blocks_per_table), np.int32)
        """All open tables, ready to be gathered into a Batch; a row's entries behind its blocks mean nothing."""
        # Last in, first out: the blocks that were used last are the ones that the CPU's caches still hold.
        self._free = list(range(num_blocks - 1, -1, -1))
        self._num_owners = [0] * num_blocks
        self._free_rows = list(range(max_tables - 1, -1, -1))
        self._open: dict[int, BlockTable] = {}

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def num_open(self) -> int:
        return len(self._open)

    @property
    def has_row(self) -> bool:
        return bool(self._free_rows)

    def open(self) -> BlockTable:
        """Return an empty table."""
        table = BlockTable(self._free_rows.pop())
        self._open[table.row] = table
        return table

    def extend(self, table: BlockTable, num_positions: int) -> bool:
        """Make room for `num_positions` in all. False, and nothing changed, where there are not enough free blocks."""
        if num_positions <= table.capacity:
            return True
        start, end = len(table.blocks), blocks_for(num_positions)
        count = end - start
        if count > len(self._free):
            return False
        taken = self._free[-count:][::-1]
        del self._free[-count:]
        for block in taken:
            self._num_owners[block] = 1
        table.blocks += taken
        table.capacity = end * BLOCK_SIZE
        self.tables[table.row, start:end] = taken
        return True

    def share(self, source: BlockTable, target: BlockTable, num_blocks: int) -> None:
        """Let the empty table `target` begin with the first `num_blocks` of `source`."""
        assert not target.blocks
        assert num_blocks <= len(source.blocks)
        target.blocks = source.blocks[:num_blocks]
        target.capacity = num_blocks * BLOCK_SIZE
        self.tables[target.row, :num_blocks] = target.blocks
        for block in target.blocks:
            self._num_owners[block] += 1

    def close(self, table: BlockTable) -> None:
        """Give the table's blocks back, but for those that another table holds."""
        del self._open[table.row]
        for block in reversed(table.blocks):
            self._num_owners[block] -= 1
            if not self._num_owners[block]:
                self._free.append(block)
        self._free_rows.append(table.row)
        table.blocks, table.capacity, table.row = [], 0, -1

    def check_invariants(self) -> None:
        """Assert that no block is lost, free and owned at once, or owned by more or fewer tables than it says."""
        owners = [0] * self.num_blocks
        for row, table in self._open.items():
            assert table.row == row
            assert table.capacity == len(table.blocks) * BLOCK_SIZE
            assert len(set(table.blocks)) == len(table.blocks), f"table {row} holds a block twice"
            assert self.tables[row, : len(table.blocks)].tolist() == table.blocks, f"row {row} is out of date"
            for block in table.blocks:
                owners[block] += 1
        assert owners == self._num_owners
        free = set(self._free)
        assert len(free) == len(self._free), "a block is free twice"
        assert free == {block for block in range(self.num_blocks) if not owners[block]}, "a block is lost"
        assert sorted([*self._free_rows, *self._open]) == list(range(len(self.tables))), "a row is lost"
