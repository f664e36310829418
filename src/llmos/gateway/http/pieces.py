"""Pieces of a streamed answer."""

from collections.abc import Iterable, Iterator

_SENT_BYTES = 256 * 1024


def joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines in pieces that are worth sending."""
    buffer = bytearray()
    for line in lines:
        buffer += line
        if len(buffer) >= _SENT_BYTES:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)
