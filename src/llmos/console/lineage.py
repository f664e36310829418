"""Lineage: the Versions that a Version was made from and those that were made from it, laid out as a graph.

Each Version has at most one parent, so this is a tree: generations from left to right, leaves below one another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmos.core.schemas.models import ModelDescription

MAX_NODES = 60
NODE_WIDTH, NODE_HEIGHT = 190, 44
_COLUMN, _ROW, _MARGIN = 250, 60, 6


@dataclass(frozen=True, slots=True)
class Node:
    version: str
    """Its reference; empty for a parent that isn't stored here."""
    label: str
    recipe: str
    """The way in which it was made: "gptq", "wanda"; empty for one that nobody made from another here."""
    x: int
    y: int
    is_shown: bool
    """It is the Version whose page this is."""


@dataclass(frozen=True, slots=True)
class Edge:
    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True, slots=True)
class Lineage:
    nodes: Sequence[Node]
    edges: Sequence[Edge]
    width: int
    height: int
    num_left_out: int

    @property
    def is_worth_drawing(self) -> bool:
        return len(self.nodes) > 1


def lineage_of(shown: ModelDescription, versions: Sequence[ModelDescription]) -> Lineage:
    """Return the graph around one of the stored Versions."""
    by_digest = {each.digest: each for each in versions if each.digest} | {shown.digest: shown}
    children: dict[str, list[ModelDescription]] = {}
    for each in by_digest.values():
        if each.parent:
            children.setdefault(each.parent, []).append(each)
    return _Drawing(by_digest, children, shown).draw()


class _Drawing:
    def __init__(
        self,
        by_digest: Mapping[str | None, ModelDescription],
        children: Mapping[str, Sequence[ModelDescription]],
        shown: ModelDescription,
    ) -> None:
        self._by_digest, self._children, self._shown = by_digest, children, shown
        self._nodes: list[Node] = []
        self._edges: list[Edge] = []
        self._next_row = 0
        self._num_left_out = 0

    def draw(self) -> Lineage:
        self._place(self._root(), 0)
        width = max(node.x for node in self._nodes) + NODE_WIDTH + _MARGIN
        height = max(node.y for node in self._nodes) + NODE_HEIGHT + _MARGIN
        return Lineage(self._nodes, self._edges, width, height, self._num_left_out)

    def _root(self) -> str:
        """Return the digest of the oldest ancestor, which may not be stored any more."""
        digest, seen = self._shown.digest or "", set[str]()
        while (known := self._by_digest.get(digest)) and known.parent and digest not in seen:
            seen.add(digest)
            digest = known.parent
        return digest

    def _place(self, digest: str, depth: int) -> tuple[int, int]:
        """Add a Version and all that was made from it. Returns where it is."""
        places = []
        for child in sorted(self._children.get(digest, ()), key=lambda each: each.version):
            if len(self._nodes) + depth >= MAX_NODES or depth >= MAX_NODES:
                self._num_left_out += 1
                continue
            places.append(self._place(child.digest or "", depth + 1))
        if not places:
            row: float = self._next_row
            self._next_row += 1
        else:
            row = (places[0][1] + places[-1][1] - 2 * _MARGIN) / 2 / _ROW
        x, y = _MARGIN + depth * _COLUMN, round(_MARGIN + row * _ROW)
        known = self._by_digest.get(digest)
        self._nodes.append(
            Node(
                version=known.version if known else "",
                label=known.version if known else digest[:19] + "…",
                recipe=str((known.recipe or {}).get("scheme", "")) if known else "",
                x=x,
                y=y,
                is_shown=digest == self._shown.digest,
            )
        )
        middle = NODE_HEIGHT // 2
        self._edges += [Edge(x + NODE_WIDTH, y + middle, at_x, at_y + middle) for at_x, at_y in places]
        return x, y
