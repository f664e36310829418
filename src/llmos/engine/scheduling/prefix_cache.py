"""Which blocks hold which tokens: a radix tree of whole blocks. Knows nothing of tables and of who uses a block.

    salt ── tokens 0-15 ──┬── tokens 16-31 ── tokens 32-47
                          └── other 16-31

The way from a root to a node spells all tokens before and in its block, which is what the block's keys and values
depend on. Children are found by their sixteen tokens themselves, so two prompts can never be mistaken for each other.
"""

from collections.abc import Iterator

from llmos.engine.runner import BLOCK_SIZE

Tokens = tuple[int, ...]


class Node:
    """One block of the KV cache and the tokens that it is for."""

    __slots__ = ("block", "children", "is_computed", "is_gone", "parent", "tokens")

    def __init__(self, parent: "Node | str", tokens: Tokens, block: int) -> None:
        self.parent = parent
        """The node before it; the salt where it is a first block."""
        self.tokens = tokens
        self.block = block
        self.children: dict[Tokens, Node] = {}
        self.is_computed = False
        """Before that it is a promise: a running sequence is about to compute it, and nobody may read it."""
        self.is_gone = False
        """It is in the tree no longer."""

    @property
    def is_awaited(self) -> bool:
        return not (self.is_computed or self.is_gone)


class PrefixCache:
    def __init__(self) -> None:
        self._roots: dict[str, dict[Tokens, Node]] = {}

    def __iter__(self) -> Iterator[Node]:
        """Every node, parents before their children."""
        found = [node for children in self._roots.values() for node in children.values()]
        for node in found:
            found.extend(node.children.values())
            yield node

    def match(self, salt: str, tokens: list[int], max_blocks: int, path: list[Node] | None = None) -> list[Node]:
        """Return the nodes of the longest known prefix, `max_blocks` at most; those behind the computed ones are
        promises. `path`: what this returned for the same tokens before; it is mended, not looked for anew."""
        path = [] if path is None else path
        # A node goes after all that continue it; so those that are left are the first ones.
        while path and path[-1].is_gone:
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
        return self._children(parent).get(tokens)

    def add(self, parent: Node | str, tokens: Tokens, block: int) -> Node:
        """Put a block behind `parent`, a node or the salt; a promise until somebody sets is_computed."""
        if isinstance(parent, str):
            children = self._roots.setdefault(parent, {})
        else:
            assert not parent.is_gone
            children = parent.children
        assert tokens not in children
        node = children[tokens] = Node(parent, tokens, block)
        return node

    def remove(self, node: Node) -> None:
        """Take a leaf out."""
        assert not node.children, "a prefix goes after all that continues it"
        children = self._children(node.parent)
        del children[node.tokens]
        node.is_gone = True
        if isinstance(node.parent, str) and not children:
            del self._roots[node.parent]

    def _children(self, parent: Node | str) -> dict[Tokens, Node]:
        return self._roots.get(parent, {}) if isinstance(parent, str) else parent.children
