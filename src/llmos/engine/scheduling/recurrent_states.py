"""Prefixes of recurrent models: which snapshot a sequence begins with, and where it leaves others. Knows no queue.

A sequence may begin behind a block if the block and the state behind it are kept. See snapshot_positions.py for where
states are kept, and snapshots.py for how many.
"""

from collections import Counter
from collections.abc import Iterable

from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.scheduling.kv_cache import BlockTable, KVCache
from llmos.engine.scheduling.plan import Plan, StateCopy
from llmos.engine.scheduling.prefix_cache import Node
from llmos.engine.scheduling.sequence import Sequence
from llmos.engine.scheduling.snapshot_positions import LEAST_GAIN, lasting_positions


class RecurrentStates:
    """Keeps states for later sequences: plan(), run the plan, commit() or release()."""

    def __init__(self, kv: KVCache) -> None:
        self._kv = kv
        self._snapshots = kv.snapshots
        self._copies: list[StateCopy] = []
        """The copies of a plan that is not committed yet."""

    def match(self, sequence: Sequence, nodes: list[Node]) -> tuple[list[Node], Node | None]:
        """Return the part of a computed prefix that the sequence can begin with, and the node that it should wait for,
        if any.

        The last block of all that are known, computed or pending, is the junction with the sequences before. If the
        state behind it is missing, this sequence or the one that computes the block keeps it.
        """
        nodes = nodes[: self._snapshots.num_covered(nodes)]
        path, sequence.junction = sequence.prefix_path, None
        if not self._snapshots.count or (len(path) - len(nodes)) * BLOCK_SIZE < LEAST_GAIN:
            return nodes, None
        junction = path[-1]
        if junction.is_awaited:
            junction.wants_snapshot = True
            return nodes, junction
        sequence.junction = junction
        return nodes, None

    def start(self, sequence: Sequence, nodes: list[Node]) -> None:
        """Let the sequence begin with the state behind these nodes, which match() returned."""
        if nodes:
            sequence.restored = self._snapshots.pin(nodes[-1])
        if sequence.junction is not None:
            sequence.junction.awaits_snapshot = True

    def end(self, sequence: Sequence) -> None:
        """Forget a sequence that runs no longer. Its snapshots stay."""
        self._unpin(sequence)
        self._end_junction(sequence)
        self._snapshots.stop_rolling(sequence.rolling_node)
        sequence.rolling_node = None

    def num_kept(self, table: BlockTable, num_blocks: int) -> int:
        """Return how many of the table's first blocks lie before a snapshot behind one of the first num_blocks."""
        return self._snapshots.num_covered(table.nodes[:num_blocks])

    def plan(self, plan: Plan) -> None:
        """Add the copies of states to a plan, as far as there is room for snapshots."""
        self._copies = plan.copies
        if not self._snapshots.count:
            return
        for row, (sequence, count) in enumerate(zip(plan.sequences, plan.counts, strict=True)):
            end = sequence.num_computed + count
            if sequence.num_computed // BLOCK_SIZE == end // BLOCK_SIZE:
                continue
            positions = self._positions(sequence, end)
            for position in positions:
                self._add(plan, row, position, self._snapshots.take())
            if sequence.is_decoding and not positions and end >= LEAST_GAIN:
                self._add(plan, row, end, self._snapshots.take_rolling(sequence.rolling_node))

    def commit(self, plan: Plan) -> None:
        """Record that the plan was computed. Its blocks must be committed already."""
        # The most valuable last: so it becomes the most recently used one.
        for copy in reversed(plan.copies):
            self._keep(copy, plan.sequences[copy.row])
        self._copies = []
        for sequence in plan.sequences:
            self._unpin(sequence)
            if sequence.junction is not None and sequence.num_computed >= sequence.junction.end:
                self._end_junction(sequence)

    def release(self) -> None:
        """Return the snapshots of a plan that was not committed."""
        for copy in self._copies:
            self._snapshots.release(copy.index)
        self._copies = []

    def check_invariants(self, running: Iterable[Sequence]) -> None:
        """Assert that pins, copies and awaited junctions agree with the running sequences."""
        pins = Counter(sequence.restored for sequence in running if sequence.restored >= 0)
        self._snapshots.check_invariants(pins, {copy.index for copy in self._copies})
        awaited = {id(sequence.junction) for sequence in running if sequence.junction is not None}
        for node in self._kv.prefixes:
            assert not node.awaits_snapshot or id(node) in awaited, "a state is awaited that nobody computes"

    def _positions(self, sequence: Sequence, end: int) -> list[int]:
        assert sequence.table is not None
        start = sequence.num_computed
        passed = sequence.table.nodes[start // BLOCK_SIZE : end // BLOCK_SIZE]
        wanted = [node.end for node in passed if node.wants_snapshot]
        if sequence.junction is not None:
            wanted.append(sequence.junction.end)
        if sequence.fork:
            wanted.append(sequence.fork)
        return lasting_positions(start, end, len(sequence.tokens), wanted)

    @staticmethod
    def _add(plan: Plan, row: int, position: int, index: int | None) -> None:
        if index is not None:
            plan.copies.append(StateCopy(row, position, index))

    def _keep(self, copy: StateCopy, sequence: Sequence) -> None:
        """Put a copied state behind its node. It is useless if its block didn't get into the tree."""
        table, num_blocks = sequence.table, copy.position // BLOCK_SIZE
        assert table is not None
        if table.num_computed_blocks < num_blocks:  # another sequence of this plan may have computed the same blocks
            self._kv.commit(table, sequence.tokens, sequence.num_computed)
        if table.num_computed_blocks < num_blocks:
            self._snapshots.release(copy.index)
            return
        node = table.nodes[num_blocks - 1]
        node.wants_snapshot = False
        self._snapshots.keep(copy.index, node, previous=sequence.rolling_node)
        sequence.rolling_node = node

    def _unpin(self, sequence: Sequence) -> None:
        """Allow the snapshot with which the sequence began to be overwritten: it has been read, or never will be."""
        if sequence.restored >= 0:
            self._snapshots.unpin(sequence.restored)
            sequence.restored = -1

    @staticmethod
    def _end_junction(sequence: Sequence) -> None:
        if sequence.junction is not None:
            sequence.junction.awaits_snapshot = False
            sequence.junction = None
