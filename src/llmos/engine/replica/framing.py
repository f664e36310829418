"""Messages over a stream socket: a length of four bytes, big-endian, then the message as msgpack."""

from collections.abc import Generator
from typing import Any, Generic, TypeVar

import msgspec

HEADER_BYTES = 4
MAX_FRAME_BYTES = 1 << 29
"""Longer frames are refused: no message comes near, and a broken peer must not fill the memory."""

T = TypeVar("T")


class FrameWriter:
    """Encodes messages as frames."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()

    def pack(self, message: Any) -> bytearray:
        """Return the message's frame, length included."""
        frame = bytearray(HEADER_BYTES)
        self._encoder.encode_into(message, frame, HEADER_BYTES)
        frame[:HEADER_BYTES] = (len(frame) - HEADER_BYTES).to_bytes(HEADER_BYTES, "big")
        return frame


class FrameReader(Generic[T]):
    """Decodes messages from chunks of a stream, which may begin and end anywhere."""

    def __init__(self, kind: Any, max_bytes: int = MAX_FRAME_BYTES) -> None:
        """`kind`: the type of the messages, or a union of types. `max_bytes`: longer ones are refused."""
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)
        self._buffer = bytearray()
        self._max_bytes = max_bytes

    def feed(self, data: bytes) -> Generator[T, None, None]:
        """Add a chunk and yield the messages that are complete. Raises msgspec.DecodeError for what is no message."""
        self._buffer += data
        position, end = 0, len(self._buffer)
        try:
            while end - position >= HEADER_BYTES:
                start = position + HEADER_BYTES
                num_bytes = int.from_bytes(self._buffer[position:start], "big")
                if num_bytes > self._max_bytes:
                    raise msgspec.DecodeError(f"A frame claims {num_bytes:,} bytes; the limit is {self._max_bytes:,}.")
                stop = start + num_bytes
                if stop > end:
                    break
                position = stop
                yield self._decode(self._buffer[start:stop])
        finally:
            del self._buffer[:position]

    def keep(self, data: bytes) -> None:
        """Add a chunk for take_rest()."""
        self._buffer += data

    def take_rest(self) -> bytes:
        """Return what is no complete message yet, for another reader, and forget it."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _decode(self, message: bytearray) -> T:
        try:
            return self._decoder.decode(message)
        except (UnicodeDecodeError, RecursionError) as error:
            raise msgspec.DecodeError(f"A message is malformed: {error}.") from None
