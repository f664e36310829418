"""ContentResponse: the content of an open file, or the one range of it that a request asks for."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import BinaryIO
from urllib.parse import quote

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

_PIECE_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class ContentResponse(StreamingResponse):
    """Closes the file. Starlette's FileResponse reads a path, and the bytes under ours are encrypted."""

    def __init__(self, file: BinaryIO, size: int, asked: Mapping[str, str], headers: Mapping[str, str]) -> None:
        """`asked`: the headers of the request. `headers`: with an etag, for `if-range`."""
        self._file = file
        part = wanted_range(asked.get("range"), size)
        if asked.get("if-range", headers["etag"]) != headers["etag"]:
            part = None
        status, sent = 200, {"accept-ranges": "bytes", **headers}
        self._begin, self._end = (0, size) if part is None else part
        if part is not None:
            status = 206 if self._begin < self._end else 416
            found = f"{self._begin}-{self._end - 1}" if status == 206 else "*"
            sent["content-range"] = f"bytes {found}/{size}"
        sent["content-length"] = str(self._end - self._begin)
        super().__init__(self._pieces(), status, sent, media_type="application/octet-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()

    async def _pieces(self) -> AsyncIterator[bytes]:
        begin, end = self._begin, self._end
        self._file.seek(begin)
        while begin < end:
            piece = await asyncio.to_thread(self._file.read, min(_PIECE_BYTES, end - begin))
            if not piece:
                raise RuntimeError("The file is shorter than its row says.")
            begin += len(piece)
            yield piece


def wanted_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the bytes [begin, end) that a Range header asks for; empty if the file has none of them.

    None: all of it, also for several ranges and for other units, as RFC 9110 allows.
    """
    found = _RANGE.fullmatch((header or "").replace(" ", ""))
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size
    begin, end = int(first), int(last) + 1 if last else size
    if end <= begin and last:
        return None  # The last byte comes before the first: such a header is ignored.
    return (begin, min(end, size)) if begin < size else (0, 0)


def attachment(filename: str) -> str:
    """Return the header that names a download."""
    quoted = quote(filename)
    return f'attachment; filename="{filename}"' if quoted == filename else f"attachment; filename*=utf-8''{quoted}"
