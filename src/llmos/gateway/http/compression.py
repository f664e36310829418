"""Compressed request bodies: unpacked piece by piece while they arrive, so that small ones can't fill the memory."""

import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Protocol

import brotli

from llmos.core.errors import BadRequest, UnsupportedMediaType

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PIECE_BYTES = 256 * 1024
"""The most that is unpacked at a time."""

_MAX_ZSTD_WINDOW_LOG = 23
"""8 MiB, the most memory that RFC 9659 lets a compressed body ask for."""


class Decompressor(Protocol):
    """The interface of the standard library's incremental decompressors."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Zlib:
    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = len(piece) < max_length
        return piece


class _Deflate(_Zlib):
    """HTTP's deflate is zlib's format (RFC 9110, 8.4.1.2), but some clients leave out its header."""

    def __init__(self) -> None:
        super().__init__(zlib.MAX_WBITS)
        self._has_begun = False

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if data and not self._has_begun:
            self._has_begun = True
            if data[0] & 0x0F != zlib.DEFLATED:
                super().__init__(-zlib.MAX_WBITS)
        return super().decompress(data, max_length)


class _Brotli:
    unused_data = b""

    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    @property
    def eof(self) -> bool:
        return bool(self._inner.is_finished())

    @property
    def needs_input(self) -> bool:
        return bool(self._inner.can_accept_more_data())

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return bytes(self._inner.process(data, output_buffer_limit=max_length))


def _zstd() -> Decompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _MAX_ZSTD_WINDOW_LOG})


def _gzip() -> Decompressor:
    return _Zlib(zlib.MAX_WBITS | 16)


DECOMPRESSORS: Mapping[str, Callable[[], Decompressor]] = {
    "gzip": _gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _zstd,
}
_CONCATENATED = ("gzip", "zstd")
"""Formats in which a body may be several complete ones, one after another."""


def find_encoding(content_encoding: str) -> str | None:
    """Return the encoding that the header Content-Encoding names; None for none.

    Raises UnsupportedMediaType for any other, and for several.
    """
    names = [name.strip().lower().removeprefix("x-") for name in content_encoding.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if not names:
        return None
    if len(names) == 1 and names[0] in DECOMPRESSORS:
        return names[0]
    raise UnsupportedMediaType(
        f"The body's Content-Encoding is {content_encoding!r:.100}; this server reads one of "
        f"{', '.join(DECOMPRESSORS)}, or a body that isn't compressed."
    )


async def unpack(chunks: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """Yield what `chunks` contain, compressed as `encoding`. Raises BadRequest for wrong or incomplete data."""
    body = _Body(encoding)
    async for chunk in chunks:
        for piece in body.feed(chunk):
            yield piece
    body.end()


class _Body:
    """A compressed body that is unpacked while it arrives."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._decompressor: Decompressor | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data or not self._needs_input():
            current = self._begin(data)
            try:
                piece = current.decompress(data, _PIECE_BYTES)
            except (zlib.error, zstd.ZstdError, brotli.error) as error:
                raise BadRequest(f"The body is not valid {self._encoding}, its Content-Encoding: {error}.") from None
            data = current.unused_data if current.eof else b""
            if piece:
                yield piece

    def end(self) -> None:
        """Raise BadRequest if the data are incomplete. A body without any is empty, not incomplete."""
        if self._decompressor is not None and not self._decompressor.eof:
            raise BadRequest(f"The {self._encoding} data of the body are incomplete.")

    def _needs_input(self) -> bool:
        return self._decompressor is None or self._decompressor.eof or self._decompressor.needs_input

    def _begin(self, data: bytes) -> Decompressor:
        """Return the decompressor of the next data: a new one at the beginning of each format."""
        if self._decompressor is not None and self._decompressor.eof and self._encoding not in _CONCATENATED:
            raise BadRequest(f"The body goes on after its {self._encoding} data.")
        if self._decompressor is None or self._decompressor.eof:
            self._decompressor = DECOMPRESSORS[self._encoding]()
        return self._decompressor
