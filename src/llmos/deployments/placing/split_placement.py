"""Placements of models that are split over nodes, as text: which node has which layers. Knows no node and no model.

split                      the server chooses the nodes, and where the layers are cut
ada:0-9,bob:10-19          the first node is home: it has the embedding and the head as well
split! or ada:0-9,bob:...!  the same, also where one node alone has room for the model
"""

import re
from dataclasses import dataclass

from llmos.core.errors import BadRequest

AUTO = "split"
ANYWAY = "!"

_PART = r"([a-z0-9][a-z0-9-]{0,47}):([0-9]{1,5})-([0-9]{1,5})"
_PARTS = re.compile(rf"{_PART}(?:,{_PART})*")


@dataclass(frozen=True, slots=True)
class SplitPart:
    """The layers of one node."""

    node: str
    first: int
    last: int
    """Included."""

    def __str__(self) -> str:
        return f"{self.node}:{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class SplitPlacement:
    parts: tuple[SplitPart, ...]
    """(): the server chooses."""
    is_wanted_anyway: bool = False
    """The model is split even where one node has room for it."""

    def __str__(self) -> str:
        return (",".join(map(str, self.parts)) or AUTO) + ANYWAY * self.is_wanted_anyway


def is_split(placement: str) -> bool:
    """Return whether this placement is of a split model."""
    text = placement.removesuffix(ANYWAY)
    return text == AUTO or _PARTS.fullmatch(text) is not None


def parse_split(placement: str) -> SplitPlacement:
    """Return a placement for which is_split() holds. Raises BadRequest for parts that can't be those of any model."""
    text = placement.removesuffix(ANYWAY)
    parts = [SplitPart(node, int(first), int(last)) for node, first, last in re.findall(_PART, text)]
    names = [part.node for part in parts]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"The node {twice} has two stages. Give it one range of layers.", param="split")
    if len(parts) == 1:
        raise BadRequest(f"One stage is the whole model. Deploy it with: --on {names[0]}", param="split")
    expected = 0
    for part in parts:
        if part.last < part.first:
            raise BadRequest(f"The stage {part} has no layers. Each stage has one at least.", param="split")
        if part.first != expected:
            raise BadRequest(
                f"The stage {part} doesn't begin with layer {expected}, behind the stage before it.", param="split"
            )
        expected = part.last + 1
    return SplitPlacement(tuple(parts), placement.endswith(ANYWAY))


def split_placement(text: str, *, is_wanted_anyway: bool) -> str:
    """Return the placement for the option --split. Raises BadRequest."""
    placement = (AUTO if text == "auto" else text) + ANYWAY * is_wanted_anyway
    if text == AUTO or not is_split(placement):
        raise BadRequest(
            f"{text[:80]!r} is no split. Write auto, or the layers of each node: --split ada:0-9,bob:10-19",
            param="split",
        )
    return str(parse_split(placement))


def runs_on(where: str | None, node: str) -> bool:
    """Return whether what runs there, on one node or split over several, runs on this node, too."""
    if where is None or not is_split(where):
        return where == node
    return any(part.node == node for part in parse_split(where).parts)
