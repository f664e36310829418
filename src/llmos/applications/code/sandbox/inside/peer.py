"""One end of the socket between the two sandboxes: asks the other side, and answers while it waits.

A message is its length in four bytes, and JSON.
"""

import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Any

Message = dict[str, Any]

ENDED = "the other side has ended"
"""Why a peer is lost that didn't break the rules."""
_LENGTH = struct.Struct("<I")
_MAX_BYTES = 8 << 20


class PeerLost(BaseException):
    """The other side has ended, or sends what isn't a message. No test may catch it as an Exception."""


class Peer:
    """Sends messages, and receives them."""

    def __init__(self, fd: int, answer: Callable[[Message], Message]) -> None:
        self._socket = socket.socket(fileno=fd)
        self._answer = answer
        self._lock = threading.RLock()

    def ask(self, message: Mapping[str, Any]) -> Message:
        """Return the answer to a request. Requests that come meanwhile are answered."""
        with self._lock:
            self._send({"request": message})
            while True:
                received = self._receive()
                if "answer" in received:
                    return _mapping(received["answer"])
                self._serve(received)

    def serve(self) -> None:
        """Answer requests until the other side ends."""
        while True:
            self._serve(self._receive())

    def _serve(self, received: Message) -> None:
        answer = self._answer(_mapping(received.get("request")))
        try:
            self._send({"answer": answer})
        except (ValueError, RecursionError) as error:
            self._send({"answer": {"error": {"name": "ValueError", "base": "ValueError", "args": [str(error)]}}})

    def _send(self, message: Message) -> None:
        data = json.dumps(message).encode()
        if len(data) > _MAX_BYTES:
            raise ValueError(f"a value takes more than {_MAX_BYTES >> 20} MiB between the code and its tests")
        try:
            self._socket.sendall(_LENGTH.pack(len(data)) + data)
        except OSError:
            raise PeerLost(ENDED) from None

    def _receive(self) -> Message:
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if length > _MAX_BYTES:
            raise PeerLost("a message is too long")
        try:
            return _mapping(json.loads(self._read(length)))
        except (ValueError, RecursionError):
            raise PeerLost("a message isn't JSON") from None

    def _read(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            try:
                piece = self._socket.recv(min(length - len(data), 1 << 20))
            except OSError:
                piece = b""
            if not piece:
                raise PeerLost(ENDED)
            data += piece
        return bytes(data)


def _mapping(value: Any) -> Message:
    if not isinstance(value, dict):
        raise PeerLost("a message isn't an object")
    return value
