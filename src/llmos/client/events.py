"""Parses server-sent events from a byte stream, as the WHATWG's HTML standard (9.2.6) defines."""

import re

_LINE_END = re.compile(rb"\r\n|\n|\r")


class EventDecoder:
    """Decodes bytes as they arrive into the data of the events that they complete.

    Lines end at CR, LF or CRLF and nowhere else: str.splitlines (and with it httpx's iter_lines) would also cut
    at U+2028 and U+0085, which a model may well write inside an answer.
    """

    def __init__(self) -> None:
        self._pending = b""
        self._data: list[bytes] = []
        self._is_behind_return = False

    def feed(self, chunk: bytes) -> list[str]:
        """Return the data of the events that `chunk` completes. A comment or an event without data gives nothing."""
        if not chunk:
            return []
        # A CR ends its line at once: the server may send nothing behind it. It may have been the first half of a CRLF.
        rest = chunk[1:] if self._is_behind_return and chunk.startswith(b"\n") else chunk
        self._is_behind_return = chunk.endswith(b"\r")
        *lines, self._pending = _LINE_END.split(self._pending + rest)
        return [data for line in lines if (data := self._take(line)) is not None]

    def _take(self, line: bytes) -> str | None:
        if not line:
            data, self._data = self._data, []
            return b"\n".join(data).decode(errors="replace") if data else None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        return None
