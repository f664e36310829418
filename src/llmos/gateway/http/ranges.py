"""Uploads that go on after a break: Content-Range says which bytes of the file the body has."""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request

from llmos.core.errors import BadRequest, Conflict, UnsupportedMediaType
from llmos.gateway.http.compression import find_encoding

BINARY_BODY = {
    "requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}
"""The `openapi_extra` of an endpoint that takes a part of a file."""

_CHUNK_BYTES = 1 << 20
_RANGE = re.compile(r"bytes (?:(?P<first>\d{1,18})-(?P<last>\d{1,18})/(?P<size>\d{1,18})|\*/0)")


@dataclass(frozen=True, slots=True)
class Range:
    """The bytes of a file that a body has."""

    first: int
    end: int
    """The byte behind the last one."""
    size: int
    """The bytes of the whole file."""


def read_range(request: Request, what: str) -> Range:
    """Return the bytes of `what` that the body has, from its headers.

    Raises BadRequest for an invalid Content-Range, and UnsupportedMediaType for a compressed body.
    """
    if find_encoding(request.headers.get("content-encoding", "")) is not None:
        raise UnsupportedMediaType(
            f"A {what} is sent as it is, because Content-Range counts its bytes: don't compress it."
        )
    match = _RANGE.fullmatch(request.headers.get("content-range", ""))
    if match is None:
        raise BadRequest("Send the header Content-Range: bytes FIRST-LAST/SIZE.")
    if match["size"] is None:
        return Range(0, 0, 0)
    found = Range(int(match["first"]), int(match["last"]) + 1, int(match["size"]))
    if not found.first < found.end <= found.size:
        raise BadRequest(f"Content-Range: bytes FIRST-LAST/SIZE names no bytes of the {what}: FIRST ≤ LAST < SIZE.")
    return found


async def receive(request: Request, part: Path, found: Range, what: str) -> int:
    """Write the body to `part` from the byte `found.first` on, and return how many bytes it has then.

    Bytes that arrive before the connection breaks are kept. Raises Conflict for a gap, BadRequest for too many bytes.
    """
    num_received = part.stat().st_size if part.exists() else 0
    first = found.first
    if first > num_received:
        raise Conflict(f"{num_received:,} bytes of {what} have arrived, but the body begins at byte {first:,}.")
    with part.open("ab") as writer:
        writer.truncate(first)
        buffer = bytearray()
        async for chunk in request.stream():
            buffer += chunk
            if first + len(buffer) > found.end:
                raise BadRequest(
                    f"The body has more bytes of {what} than Content-Range says: it ends at {found.end:,}."
                )
            if len(buffer) >= _CHUNK_BYTES:
                first += len(buffer)
                await asyncio.to_thread(writer.write, bytes(buffer))
                buffer.clear()
        await asyncio.to_thread(writer.write, bytes(buffer))
        return first + len(buffer)
