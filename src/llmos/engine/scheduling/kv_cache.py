"""Allocates the blocks of the paged KV cache. Knows block ids and the tokens they are for, not their contents.

free        in no table, holds nothing
evictable   in no table, holds a prefix: allocated once there are no free blocks left
in use      in one table, or in several that begin with the same tokens
"""

from bisect import bisect_left
from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.scheduling.prefix_cache import Node, PrefixCache
from llmos.engine.scheduling.snapshots import Snapshots


def blocks_for(num_positions: int) -> int:
    """Return how many blocks hold so many positions."""
    return -(-num_positions // BLOCK_SIZE)


class BlockTable:
    """The blocks of one sequence, in order of their positions.

    blocks   [ in the prefix cache ................... | private .......... ]
             [ computed .......... | pending ......... |                    ]
             0                     num_computed_blocks len(nodes)   len(blocks)
    """

    __slots__ = ("blocks", "capacity", "nodes", "num_computed_blocks", "row", "salt")

    def __init__(self, row: int, salt: str) -> None:
        self.row = row
        """The row of KVCache.tables that mirrors `blocks`."""
        self.salt = salt
        self.blocks: list[int] = []
        self.capacity = 0
        """Positions that the blocks have room for."""
        self.nodes: list[Node] = []
        """The nodes of the first blocks in the prefix cache."""
        self.num_computed_blocks = 0
        """Blocks of `nodes` that other tables may read."""


class KVCache:
    """Allocates and frees blocks, and remembers which prefixes they hold.

    A block's reference count is the number of tables that hold it. Only a full and computed block is ever shared, so a
    shared block is never written again. A table that holds a prefix holds all blocks before it; so reference counts
    only decrease down the tree, the evictable blocks form whole branches, and each of them can be evicted, leaves
    first.
    """

    def __init__(
        self,
        num_blocks: int,
        *,
        max_tables: int,
        max_blocks_per_table: int,
        keeps_prefixes: bool = True,
        snapshots: Snapshots | None = None,
    ) -> None:
        """`keeps_prefixes`: a prefix outlives the tables that hold it, until its blocks are needed.

        `snapshots`: those of a recurrent model. The row of a table is also the index of its sequence's state in the
        runner, and a snapshot is dropped with the block that it is behind.
        """
        self.num_blocks = num_blocks
        self.max_blocks_per_table = max_blocks_per_table
        self.tables: npt.NDArray[np.int32] = np.zeros((max_tables, max_blocks_per_table), np.int32)
        """All open tables, ready to be gathered into a Batch; entries behind a table's blocks are undefined."""
        self.prefixes = PrefixCache()
        self.has_states = snapshots is not None
        self.snapshots = snapshots or Snapshots(0, 0)
        self._keeps_prefixes = keeps_prefixes
        # Last in, first out: the CPU's caches still hold the blocks that were used last.
        self._free_blocks = list(range(num_blocks - 1, -1, -1))
        # Least recently used first. A table frees its last block first, and uses all blocks before the one it uses;
        # so a node always stands before its parent, and the first entry is a leaf.
        self._evictable: OrderedDict[int, Node] = OrderedDict()
        self._ref_counts = [0] * num_blocks
        self._nodes: list[Node | None] = [None] * num_blocks
        self._free_rows = list(range(max_tables - 1, -1, -1))
        self._open: dict[int, BlockTable] = {}

    @property
    def num_free(self) -> int:
        """Blocks that can be allocated, evictable ones included."""
        return len(self._free_blocks) + len(self._evictable)

    @property
    def num_evictable(self) -> int:
        return len(self._evictable)

    @property
    def num_open(self) -> int:
        """Open tables."""
        return len(self._open)

    @property
    def has_row(self) -> bool:
        """True if another table can be opened."""
        return bool(self._free_rows)

    def is_evictable(self, block: int) -> bool:
        return block in self._evictable

    def num_evictable_of(self, nodes: list[Node]) -> int:
        """Return how many nodes of a prefix are evictable: the last ones, since reference counts decrease down it."""
        return len(nodes) - bisect_left(nodes, True, key=lambda node: self.is_evictable(node.block))

    def num_shared(self, table: BlockTable) -> int:
        """Return how many of its first blocks other tables hold, too."""
        for count, block in enumerate(table.blocks):
            if self._ref_counts[block] == 1:
                return count
        return len(table.blocks)

    def open(self, salt: str = "") -> BlockTable:
        """Return an empty table, which shares prefixes with tables of the same salt."""
        table = BlockTable(self._free_rows.pop(), salt)
        self._open[table.row] = table
        return table

    def match_prefix(
        self, salt: str, tokens: list[int], num_reusable: int, path: list[Node] | None = None
    ) -> tuple[list[Node], Node | None]:
        """Return the longest prefix of `tokens` that is computed, and the pending node behind it if there is one.

        Covers no more than `num_reusable` tokens: the others must be computed for their logits. `path`: a list that the
        caller keeps for these tokens from call to call, empty at first; see PrefixCache.match().
        """
        path = self.prefixes.match(salt, tokens, num_reusable // BLOCK_SIZE, path)
        # Computed nodes come before pending ones.
        count = bisect_left(path, True, key=lambda node: not node.is_computed)
        return path[:count], path[count] if count < len(path) else None

    def adopt(self, table: BlockTable, nodes: list[Node]) -> None:
        """Let an empty table begin with this prefix, which match_prefix() returned."""
        assert not table.blocks
        table.nodes = nodes.copy()
        table.num_computed_blocks = len(nodes)
        table.blocks = [node.block for node in nodes]
        table.capacity = len(nodes) * BLOCK_SIZE
        self.tables[table.row, : len(nodes)] = table.blocks
        for block in table.blocks:
            self._ref_counts[block] += 1
            self._evictable.pop(block, None)

    def allocate(self, table: BlockTable, num_positions: int) -> bool:
        """Give the table room for `num_positions` in all. Returns False, and changes nothing, if blocks are short."""
        if num_positions <= table.capacity:
            return True
        start, end = len(table.blocks), blocks_for(num_positions)
        count = end - start
        if count > self.num_free:
            return False
        while len(self._free_blocks) < count:
            self._evict(next(iter(self._evictable.values())))
        taken = self._free_blocks[-count:][::-1]
        del self._free_blocks[-count:]
        for block in taken:
            self._ref_counts[block] = 1
        table.blocks += taken
        table.capacity = end * BLOCK_SIZE
        self.tables[table.row, start:end] = taken
        return True

    def mark_pending(self, table: BlockTable, tokens: list[int]) -> None:
        """Announce that the table's sequence is about to compute `tokens`, so that others can wait for their blocks."""
        while (len(table.nodes) + 1) * BLOCK_SIZE <= len(tokens):
            key = _tokens_of(tokens, len(table.nodes))
            parent = table.nodes[-1] if table.nodes else table.salt
            if self.prefixes.child(parent, key) is not None:
                return
            self._add(table, parent, key)

    def commit(self, table: BlockTable, tokens: list[int], num_computed: int) -> None:
        """Share the full blocks among the first `num_computed` tokens, which are computed now."""
        while (table.num_computed_blocks + 1) * BLOCK_SIZE <= num_computed:
            index = table.num_computed_blocks
            if index == len(table.nodes) and not self._join(table, _tokens_of(tokens, index)):
                return
            table.nodes[index].is_computed = True
            table.num_computed_blocks += 1

    def close(self, table: BlockTable, *, is_valid: bool = True) -> None:
        """Free the table's blocks. Computed prefixes become evictable.

        `is_valid`: False if the blocks may hold wrong values. Then prefixes that only this table held are evicted.
        """
        del self._open[table.row]
        for index in range(len(table.blocks) - 1, -1, -1):
            block = table.blocks[index]
            self._ref_counts[block] -= 1
            if self._ref_counts[block]:
                continue
            node = self._nodes[block]
            if node is None:
                self._free_blocks.append(block)
            elif index < table.num_computed_blocks and is_valid and self._keeps_prefixes:
                self._evictable[block] = node
            else:
                self._evict(node)
        self._free_rows.append(table.row)
        table.blocks, table.nodes, table.capacity, table.num_computed_blocks, table.row = [], [], 0, 0, -1

    def check_invariants(self) -> None:
        """Assert that every block is in exactly one state, that reference counts agree with the tables, and that the
        tree holds the nodes that the tables refer to."""
        ref_counts = [0] * self.num_blocks
        for row, table in self._open.items():
            assert table.row == row
            assert table.capacity == len(table.blocks) * BLOCK_SIZE
            assert len(set(table.blocks)) == len(table.blocks), f"table {row} holds a block twice"
            assert self.tables[row, : len(table.blocks)].tolist() == table.blocks, f"row {row} is out of date"
            for block in table.blocks:
                ref_counts[block] += 1
            self._check_nodes(table)
        assert ref_counts == self._ref_counts
        nodes = {node.block: node for node in self.prefixes}
        assert len(nodes) == sum(1 for _ in self.prefixes), "two nodes have the same block"
        assert all(self._nodes[b] is nodes.get(b) for b in range(self.num_blocks)), "a block has lost its node"
        for node in nodes.values():
            assert node.is_computed or ref_counts[node.block] == 1, "a pending block is shared"
            if isinstance(node.parent, Node):
                assert ref_counts[node.parent.block] >= ref_counts[node.block], "a prefix is in use without its parent"
                assert node.parent.is_computed or not node.is_computed
        assert self._evictable == {b: node for b, node in nodes.items() if not ref_counts[b]}
        order = {block: i for i, block in enumerate(self._evictable)}
        for node in self._evictable.values():
            if isinstance(node.parent, Node) and node.parent.block in order:
                assert order[node.block] < order[node.parent.block], "a parent would be evicted before its child"
        free = set(self._free_blocks)
        assert len(free) == len(self._free_blocks), "a block is free twice"
        assert free == {b for b in range(self.num_blocks) if not ref_counts[b] and b not in nodes}, "a block is lost"
        assert sorted([*self._free_rows, *self._open]) == list(range(len(self.tables))), "a row is lost"

    def _check_nodes(self, table: BlockTable) -> None:
        assert 0 <= table.num_computed_blocks <= len(table.nodes) <= len(table.blocks)
        parent: Node | str = table.salt
        for index, node in enumerate(table.nodes):
            assert not node.is_removed
            assert node.parent == parent, "a table crosses from one branch to another"
            assert node.block == table.blocks[index]
            assert node.is_computed == (index < table.num_computed_blocks)
            parent = node

    def _join(self, table: BlockTable, key: tuple[int, ...]) -> bool:
        """Put the table's next block, which was just computed, into the tree.

        If another table has computed the same block, use that one and free ours. Returns False if it is pending there.
        """
        parent = table.nodes[-1] if table.nodes else table.salt
        known = self.prefixes.child(parent, key)
        if known is None:
            self._add(table, parent, key)
            return True
        if not known.is_computed:
            return False
        index = len(table.nodes)
        self._ref_counts[table.blocks[index]] = 0
        self._free_blocks.append(table.blocks[index])
        self._ref_counts[known.block] += 1
        self._evictable.pop(known.block, None)
        table.blocks[index] = self.tables[table.row, index] = known.block
        table.nodes.append(known)
        return True

    def _add(self, table: BlockTable, parent: Node | str, key: tuple[int, ...]) -> None:
        block = table.blocks[len(table.nodes)]
        node = self._nodes[block] = self.prefixes.add(parent, key, block)
        table.nodes.append(node)

    def _evict(self, node: Node) -> None:
        """Remove the node and its descendants from the tree, and free their blocks."""
        branch = [node]
        for each in branch:
            branch.extend(each.children.values())
        for each in reversed(branch):
            self.snapshots.drop(each)
            self._evictable.pop(each.block, None)
            self.prefixes.remove(each)
            self._nodes[each.block] = None
            self._free_blocks.append(each.block)


def _tokens_of(tokens: list[int], index: int) -> tuple[int, ...]:
    return tuple(tokens[index * BLOCK_SIZE : (index + 1) * BLOCK_SIZE])
