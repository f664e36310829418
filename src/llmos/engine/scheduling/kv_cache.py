"""Which block of the paged KV cache belongs to whom. Knows block ids and the tokens they are for, not their contents.

free      in nobody's table, holds nothing
unused    in nobody's table, holds a prefix: free capacity, taken when the free ones are gone
owned     in one table, or in several that begin with the same tokens
"""

from bisect import bisect_left
from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.scheduling.prefix_cache import Node, PrefixCache


def blocks_for(num_positions: int) -> int:
    return -(-num_positions // BLOCK_SIZE)


class BlockTable:
    """The blocks of one sequence, in order of their positions.

    blocks   [ in the prefix cache ................... | ours alone ....... ]
             [ computed .......... | promised ........ |                    ]
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
        """Where the first blocks are in the prefix cache."""
        self.num_computed_blocks = 0
        """Of `nodes`, those that everybody may read."""


class KVCache:
    """Hands out blocks, takes them back, and remembers what they hold.

    A block has as many owners as tables that hold it. Only a full and computed block is ever shared, so a shared one is
    never written again. Whoever owns a prefix owns all that it continues; so owners only decrease down the tree, what
    is unused forms whole branches, and each block of them can be had, leaves first.
    """

    def __init__(
        self, num_blocks: int, *, max_tables: int, max_blocks_per_table: int, keeps_unused: bool = True
    ) -> None:
        """`keeps_unused`: a prefix outlives the tables that hold it, until its blocks are needed."""
        self.num_blocks = num_blocks
        self.max_blocks_per_table = max_blocks_per_table
        self.tables: npt.NDArray[np.int32] = np.zeros((max_tables, max_blocks_per_table), np.int32)
        """All open tables, ready to be gathered into a Batch; a row's entries behind its blocks mean nothing."""
        self.prefixes = PrefixCache()
        self._keeps_unused = keeps_unused
        # Last in, first out: the blocks that were used last are the ones that the CPU's caches still hold.
        self._free = list(range(num_blocks - 1, -1, -1))
        # Least recently used first. A table lets go of its last block first, and whoever uses a block uses all before
        # it; so a node always stands before its parent, and the first one is a leaf.
        self._unused: OrderedDict[int, Node] = OrderedDict()
        self._num_owners = [0] * num_blocks
        self._nodes: list[Node | None] = [None] * num_blocks
        self._free_rows = list(range(max_tables - 1, -1, -1))
        self._open: dict[int, BlockTable] = {}

    @property
    def num_free(self) -> int:
        """Blocks that can be had, the unused ones included."""
        return len(self._free) + len(self._unused)

    @property
    def num_unused(self) -> int:
        return len(self._unused)

    @property
    def num_open(self) -> int:
        return len(self._open)

    @property
    def has_row(self) -> bool:
        return bool(self._free_rows)

    def is_unused(self, block: int) -> bool:
        return block in self._unused

    def num_unused_of(self, nodes: list[Node]) -> int:
        """Return how many nodes of a prefix are in nobody's table: the last ones, as owners decrease down the tree."""
        return len(nodes) - bisect_left(nodes, True, key=lambda node: self.is_unused(node.block))

    def num_shared(self, table: BlockTable) -> int:
        """Return how many of its first blocks other tables hold, too."""
        for count, block in enumerate(table.blocks):
            if self._num_owners[block] == 1:
                return count
        return len(table.blocks)

    def open(self, salt: str = "") -> BlockTable:
        """Return an empty table. It shares prefixes with tables of the same salt."""
        table = BlockTable(self._free_rows.pop(), salt)
        self._open[table.row] = table
        return table

    def match(self, salt: str, tokens: list[int], path: list[Node] | None = None) -> tuple[list[Node], Node | None]:
        """Return the longest prefix of `tokens` that can be read, and the block behind it if somebody is about to
        compute that. Never all tokens: the last one is computed by everybody, for its logits.

        `path`: a list that is kept for these tokens from one call to the next, empty at first; with it a call takes
        no longer for a long prefix than for a short one.
        """
        path = self.prefixes.match(salt, tokens, (len(tokens) - 1) // BLOCK_SIZE, path)
        # What is computed lies before what is promised.
        count = bisect_left(path, True, key=lambda node: not node.is_computed)
        return path[:count], path[count] if count < len(path) else None

    def adopt(self, table: BlockTable, nodes: list[Node]) -> None:
        """Let the empty table begin with this prefix, which match() returned."""
        assert not table.blocks
        table.nodes = nodes.copy()
        table.num_computed_blocks = len(nodes)
        table.blocks = [node.block for node in nodes]
        table.capacity = len(nodes) * BLOCK_SIZE
        self.tables[table.row, : len(nodes)] = table.blocks
        for block in table.blocks:
            self._num_owners[block] += 1
            self._unused.pop(block, None)

    def extend(self, table: BlockTable, num_positions: int) -> bool:
        """Make room for `num_positions` in all. False, and nothing changed, where there are not enough blocks."""
        if num_positions <= table.capacity:
            return True
        start, end = len(table.blocks), blocks_for(num_positions)
        count = end - start
        if count > self.num_free:
            return False
        while len(self._free) < count:
            self._evict()
        taken = self._free[-count:][::-1]
        del self._free[-count:]
        for block in taken:
            self._num_owners[block] = 1
        table.blocks += taken
        table.capacity = end * BLOCK_SIZE
        self.tables[table.row, start:end] = taken
        return True

    def promise(self, table: BlockTable, tokens: list[int]) -> None:
        """Tell the others that this table's sequence is about to compute `tokens`, so that they can wait for it."""
        while (len(table.nodes) + 1) * BLOCK_SIZE <= len(tokens):
            key = _tokens_of(tokens, len(table.nodes))
            parent = table.nodes[-1] if table.nodes else table.salt
            if self.prefixes.child(parent, key) is not None:
                return
            self._add(table, parent, key)

    def settle(self, table: BlockTable, tokens: list[int], num_computed: int) -> None:
        """The first `num_computed` of the tokens are computed: their full blocks can be shared from now on."""
        while (table.num_computed_blocks + 1) * BLOCK_SIZE <= num_computed:
            index = table.num_computed_blocks
            if index == len(table.nodes) and not self._join(table, _tokens_of(tokens, index)):
                return
            table.nodes[index].is_computed = True
            table.num_computed_blocks += 1

    def close(self, table: BlockTable, *, is_sound: bool = True) -> None:
        """Give the table's blocks back. What was computed of it stays as a prefix while nobody needs the room; unless
        it is not sound, then no prefix stays that only this table had."""
        del self._open[table.row]
        for index in range(len(table.blocks) - 1, -1, -1):
            block = table.blocks[index]
            self._num_owners[block] -= 1
            if self._num_owners[block]:
                continue
            node = self._nodes[block]
            if node is None:
                self._free.append(block)
            elif index < table.num_computed_blocks and is_sound and self._keeps_unused:
                self._unused[block] = node
            else:
                self._drop(node)
        self._free_rows.append(table.row)
        table.blocks, table.nodes, table.capacity, table.num_computed_blocks, table.row = [], [], 0, 0, -1

    def check_invariants(self) -> None:
        """Assert that no block is lost or in two states at once, that owners are who they say, and that the tree holds
        what the tables think it does."""
        owners = [0] * self.num_blocks
        for row, table in self._open.items():
            assert table.row == row
            assert table.capacity == len(table.blocks) * BLOCK_SIZE
            assert len(set(table.blocks)) == len(table.blocks), f"table {row} holds a block twice"
            assert self.tables[row, : len(table.blocks)].tolist() == table.blocks, f"row {row} is out of date"
            for block in table.blocks:
                owners[block] += 1
            self._check_nodes(table)
        assert owners == self._num_owners
        nodes = {node.block: node for node in self.prefixes}
        assert len(nodes) == sum(1 for _ in self.prefixes), "two prefixes have one block"
        assert all(self._nodes[b] is nodes.get(b) for b in range(self.num_blocks)), "a block forgot what it holds"
        for node in nodes.values():
            assert node.is_computed or owners[node.block] == 1, "a promise has one owner"
            if isinstance(node.parent, Node):
                assert owners[node.parent.block] >= owners[node.block], "a prefix is used without its beginning"
                assert node.parent.is_computed or not node.is_computed
        assert self._unused == {b: node for b, node in nodes.items() if not owners[b]}
        places = {block: place for place, block in enumerate(self._unused)}
        for node in self._unused.values():
            if isinstance(node.parent, Node) and node.parent.block in places:
                assert places[node.block] < places[node.parent.block], "a prefix would go before what continues it"
        free = set(self._free)
        assert len(free) == len(self._free), "a block is free twice"
        assert free == {b for b in range(self.num_blocks) if not owners[b] and b not in nodes}, "a block is lost"
        assert sorted([*self._free_rows, *self._open]) == list(range(len(self.tables))), "a row is lost"

    def _check_nodes(self, table: BlockTable) -> None:
        assert 0 <= table.num_computed_blocks <= len(table.nodes) <= len(table.blocks)
        parent: Node | str = table.salt
        for index, node in enumerate(table.nodes):
            assert not node.is_gone
            assert node.parent == parent, "a table crosses from one branch to another"
            assert node.block == table.blocks[index]
            assert node.is_computed == (index < table.num_computed_blocks)
            parent = node

    def _join(self, table: BlockTable, key: tuple[int, ...]) -> bool:
        """Put the table's next block, which was just computed, into the tree. Where somebody else's holds the same, use
        that one and give ours back. False while somebody else only promises it."""
        parent = table.nodes[-1] if table.nodes else table.salt
        known = self.prefixes.child(parent, key)
        if known is None:
            self._add(table, parent, key)
            return True
        if not known.is_computed:
            return False
        index = len(table.nodes)
        self._num_owners[table.blocks[index]] = 0
        self._free.append(table.blocks[index])
        self._num_owners[known.block] += 1
        self._unused.pop(known.block, None)
        table.blocks[index] = self.tables[table.row, index] = known.block
        table.nodes.append(known)
        return True

    def _add(self, table: BlockTable, parent: Node | str, key: tuple[int, ...]) -> None:
        block = table.blocks[len(table.nodes)]
        node = self._nodes[block] = self.prefixes.add(parent, key, block)
        table.nodes.append(node)

    def _evict(self) -> None:
        self._drop(next(iter(self._unused.values())))

    def _drop(self, node: Node) -> None:
        """Take the node out of the tree, and the unused ones that continue it; their blocks are free."""
        branch = [node]
        for each in branch:
            branch.extend(each.children.values())
        for each in reversed(branch):
            self._unused.pop(each.block, None)
            self.prefixes.remove(each)
            self._nodes[each.block] = None
            self._free.append(each.block)


def _tokens_of(tokens: list[int], index: int) -> tuple[int, ...]:
    return tuple(tokens[index * BLOCK_SIZE : (index + 1) * BLOCK_SIZE])
