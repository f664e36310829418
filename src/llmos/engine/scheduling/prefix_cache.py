"""A radix tree of whole KV cache blocks, keyed by their tokens. Knows neither tables nor reference counts.

    salt ── tokens 0-15 ──┬── tokens 16-31 ── tokens 32-47
                          └── other 16-31

The path from a root to a node is all tokens up to the end of its block, which is what the block's keys and values
depend on. Children are found by their sixteen tokens rather than by a hash, so two prompts are never confused.
"""

from collections.abc import Iterator

from llmos.engine.runner import BLOCK_SIZE

Tokens = tuple[int, ...]


class Node:
    """One block of the KV cache and the tokens that it is for."""

    __slots__ = (
        "awaits_snapshot",
        "block",
        "children",
        "end",
        "is_computed",
        "is_removed",
        "parent",
        "tokens",
        "wants_snapshot",
    )

    def __init__(self, parent: "Node | str", tokens: Tokens, block: int) -> None:
        self.parent = parent
        """The node before it; the salt for a first block."""
        self.tokens = tokens
        self.block = block
        self.end: int = BLOCK_SIZE + (0 if isinstance(parent, str) else parent.end)
        """Tokens from the root to the end of the block."""
        self.children: dict[Tokens, Node] = {}
        self.is_computed = False
        """False while the block is pending: a running sequence is about to compute it, and nobody may read it."""
        self.is_removed = False
        """The node is no longer in the tree."""
        self.wants_snapshot = False
        """The sequence that computes the block is asked to keep the recurrent state behind it."""
        self.awaits_snapshot = False
        """A running sequence computes the recurrent state behind the block, which is computed already."""

    @property
    def is_pending(self) -> bool:
        return not (self.is_computed or self.is_removed)

    @property
    def is_awaited(self) -> bool:
        """True as long as it is worth waiting for a running sequence to reach the end of this block."""
        return (self.awaits_snapshot or not self.is_computed) and not self.is_removed


class PrefixCache:
    """Finds the longest known prefix of a list of tokens."""

    def __init__(self) -> None:
        self._roots: dict[str, dict[Tokens, Node]] = {}

    def __iter__(self) -> Iterator[Node]:
        """Yield every node, parents before their children."""
        found = [node for children in self._roots.values() for node in children.values()]
        for node in found:
            found.extend(node.children.values())
            yield node

    def match(self, salt: str, tokens: list[int], max_blocks: int, path: list[Node] | None = None) -> list[Node]:
        """Return the nodes of the longest known prefix, at most `max_blocks`: computed ones, then pending ones.

        `path`: the list that the last call for the same tokens returned. It is updated in place and returned, which
        takes no longer for a long prefix than for a short one.
        """
        path = [] if path is None else path
        # A node is removed after all its descendants, so the removed nodes are the last ones of the path.
        while path and path[-1].is_removed:
            path.pop()
        children = path[-1].children if path else self._roots.get(salt, {})
        for start in range(len(path) * BLOCK_SIZE, max_blocks * BLOCK_SIZE, BLOCK_SIZE):
            node = children.get(tuple(tokens[start : start + BLOCK_SIZE]))
            if node is None:
                break
            path.append(node)
            children = node.children
        return path

    def child(self, parent: Node | str, tokens: Tokens) -> Node | None:
        """Return the child of a node, or of the salt, that has these tokens."""
        return self._children(parent).get(tokens)

    def add(self, parent: Node | str, tokens: Tokens, block: int) -> Node:
        """Add a pending block behind `parent`, a node or the salt."""
        if isinstance(parent, str):
            children = self._roots.setdefault(parent, {})
        else:
            assert not parent.is_removed
            children = parent.children
        assert tokens not in children
        node = children[tokens] = Node(parent, tokens, block)
        return node

    def remove(self, node: Node) -> None:
        """Remove a leaf."""
        assert not node.children, "a node is removed after its descendants"
        children = self._children(node.parent)
        del children[node.tokens]
        node.is_removed = True
        if isinstance(node.parent, str) and not children:
            del self._roots[node.parent]

    def _children(self, parent: Node | str) -> dict[Tokens, Node]:
        return self._roots.get(parent, {}) if isinstance(parent, str) else parent.children
