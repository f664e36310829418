"""Snapshots of recurrent states: which copy holds the state behind which block of the prefix cache.

free      holds nothing
kept      holds the state behind a node; overwritten for another once no snapshot is free, least recently used first
pinned    kept, and a running sequence is about to begin with it
taken     the current step writes it
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence

from llmos.engine.scheduling.prefix_cache import Node


class Snapshots:
    """Allocates the runner's snapshots. Knows indices and nodes, not what a state is.

        index = snapshots.take()       # the step copies a state there
        snapshots.keep(index, node)    # it is behind this node, so other sequences may begin with it

    A rolling snapshot follows a sequence that decodes, block by block. They have half of the room at most, so that
    long answers don't displace the prefixes that many prompts share.
    """

    def __init__(self, first: int, count: int) -> None:
        """`first`: the index of the first of `count` snapshots."""
        self.count = count
        self._first = first
        self._free = list(range(first + count - 1, first - 1, -1))
        self._kept: OrderedDict[Node, int] = OrderedDict()
        """Least recently used first."""
        self._rolling: set[int] = set()
        self._pins: Counter[int] = Counter()
        self._taken: set[int] = set()

    @property
    def num_kept(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[tuple[Node, int]]:
        """Yield the nodes whose states are kept, and their snapshots, least recently used first."""
        yield from self._kept.items()

    def num_covered(self, nodes: Sequence[Node]) -> int:
        """Return how many of the first nodes lie before the last snapshot."""
        return next((i for i in range(len(nodes), 0, -1) if nodes[i - 1] in self._kept), 0)

    def take(self) -> int | None:
        """Return a snapshot for the current step to write, None if all are taken or pinned."""
        if not self._free:
            oldest = next((node for node, index in self._kept.items() if not self._pins[index]), None)
            if oldest is None:
                return None
            self.drop(oldest)
        index = self._free.pop()
        self._taken.add(index)
        return index

    def take_rolling(self, previous: Node | None) -> int | None:
        """Return a snapshot for a sequence whose last rolling one is behind `previous`; None if they have no room."""
        if self._is_rolling(previous):
            if not self._free:
                self._drop_rolling(previous)
        elif len(self._rolling) >= self.count // 2:
            return None
        index = self.take()
        if index is not None:
            self._rolling.add(index)
        return index

    def keep(self, index: int, node: Node, *, previous: Node | None = None) -> None:
        """Keep a snapshot that was taken, now that the state behind `node` is in it.

        `previous`: the node of the sequence's last rolling snapshot, which this one replaces, unless another sequence
        has begun with it since.
        """
        self._drop_rolling(previous)
        if node in self._kept:  # another sequence has computed the same
            self._kept.move_to_end(node)
            self.release(index)
            return
        self._taken.remove(index)
        self._kept[node] = index

    def release(self, index: int) -> None:
        """Return a snapshot that was taken and isn't needed."""
        self._taken.remove(index)
        self._rolling.discard(index)
        self._free.append(index)

    def stop_rolling(self, node: Node | None) -> None:
        """Let the rolling snapshot behind a node stay where it is: its sequence runs no longer."""
        if self._is_rolling(node):
            assert node is not None
            self._rolling.remove(self._kept[node])

    def drop(self, node: Node) -> None:
        """Forget the snapshot behind a node, if there is one."""
        index = self._kept.pop(node, None)
        if index is None:
            return
        assert not self._pins[index], "a snapshot that is about to be read is dropped"
        self._rolling.discard(index)
        self._free.append(index)

    def pin(self, node: Node) -> int:
        """Return the snapshot behind a node, for a sequence that begins with it. Keep it until unpin()."""
        self._kept.move_to_end(node)
        index = self._kept[node]
        self._rolling.discard(index)
        self._pins[index] += 1
        return index

    def unpin(self, index: int) -> None:
        self._pins[index] -= 1
        if not self._pins[index]:
            del self._pins[index]

    def check_invariants(self, pins: Counter[int], taken: set[int]) -> None:
        """Assert that every snapshot is in exactly one state. `pins`: how many sequences are about to read each.
        `taken`: those that the current step writes."""
        assert self._pins == pins, "a pin is lost"
        assert self._taken == taken, "a snapshot that was taken is lost"
        everything = [*self._free, *self._kept.values(), *self._taken]
        assert sorted(everything) == list(range(self._first, self._first + self.count)), "a snapshot is lost"
        assert set(self._pins) <= set(self._kept.values()), "a snapshot that holds nothing is pinned"
        assert self._rolling <= {*self._kept.values(), *self._taken}, "a rolling snapshot holds nothing"
        assert len(self._rolling - self._taken) <= self.count // 2, "rolling snapshots displace others"
        assert all(node.is_computed and not node.is_removed for node in self._kept), "a snapshot is behind no block"

    def _is_rolling(self, node: Node | None) -> bool:
        return node is not None and self._kept.get(node) in self._rolling

    def _drop_rolling(self, node: Node | None) -> None:
        if self._is_rolling(node):
            assert node is not None
            self.drop(node)
