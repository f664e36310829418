"""The stored form of a card: JSON with a format number."""

import msgspec

from llmos.core.errors import Conflict
from llmos.core.schemas.cards import FORMAT, Card


def to_json(card: Card) -> bytes:
    """Return the card as JSON."""
    return msgspec.json.encode(card)


def from_json(text: bytes | str) -> Card:
    """Parse a card. Raises Conflict for one that a newer LLMOS wrote."""
    found = msgspec.json.decode(text, type=_Format).format
    if found > FORMAT:
        raise Conflict(
            f"This card was written by a newer LLMOS (format {found}; this one knows {FORMAT})."
            " Update LLMOS, or measure again: llmos card MODEL --measure"
        )
    return msgspec.json.decode(text, type=Card)


class _Format(msgspec.Struct):
    format: int = FORMAT
