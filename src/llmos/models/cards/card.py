"""How a card is stored: its JSON, and the version of its format."""

import msgspec

from llmos.core.errors import Conflict
from llmos.core.schemas.cards import FORMAT, Card


def to_json(card: Card) -> bytes:
    return msgspec.json.encode(card)


def from_json(text: bytes | str) -> Card:
    """Read a card that to_json wrote. Raises Conflict for one that a newer LLMOS has written."""
    found = msgspec.json.decode(text, type=_Format).format
    if found > FORMAT:
        raise Conflict(
            f"This card was written by a newer LLMOS (format {found}; this one knows {FORMAT})."
            " Update LLMOS, or measure again: llmos card MODEL --measure"
        )
    return msgspec.json.decode(text, type=Card)


class _Format(msgspec.Struct):
    format: int = FORMAT
