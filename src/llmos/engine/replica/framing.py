"""Messages over a stream socket: four bytes of length, big-endian, then the message as msgpack."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

HEADER_BYTES = 4
T = TypeVar("T")


class FrameWriter:
    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()

    def pack(self, message: Any) -> bytearray:
        """Return the frame, ready to be sent."""
        frame = bytearray(HEADER_BYTES)
        self._encoder.encode_into(message, frame, HEADER_BYTES)
        frame[:HEADER_BYTES] = (len(frame) - HEADER_BYTES).to_bytes(HEADER_BYTES, "big")
        return frame


class FrameReader(Generic[T]):
    """Puts messages together from what the socket gives, however it was cut."""

    def __init__(self, kind: Any) -> None:
        """`kind`: the type, or union of types, that the messages have."""
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[T]:
        """Take what arrived; yield the messages that are whole. Raises msgspec.ValidationError for another type."""
        self._buffer += data
        position, end = 0, len(self._buffer)
        try:
            while end - position >= HEADER_BYTES:
                start = position + HEADER_BYTES
                stop = start + int.from_bytes(self._buffer[position:start], "big")
                if stop > end:
                    break
                position = stop
                yield self._decoder.decode(self._buffer[start:stop])
        finally:
            del self._buffer[:position]
