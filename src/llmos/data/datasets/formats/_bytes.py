"""Bytes and lines of files, decompressed, in bounded memory."""

import gzip
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from llmos.core.errors import BadRequest
from llmos.data.datasets.formats import COMPRESSIONS, MAX_RECORD_BYTES, BadRecord

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHUNK_BYTES = 1 << 18
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_UTF_8_BOM = b"\xef\xbb\xbf"


@contextmanager
def opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a file, decompressed. Raises BadRequest for broken compression, in the block too, and for UTF-16."""
    try:
        with path.open("rb") as file:
            plain: IO[bytes] = file
            if name.endswith(".gz"):
                plain = cast(IO[bytes], gzip.GzipFile(fileobj=file))
            elif name.endswith(".zst"):
                plain = cast(IO[bytes], zstd.ZstdFile(file))
            yield plain
    except (EOFError, gzip.BadGzipFile, zlib.error, zstd.ZstdError) as error:
        raise BadRequest(f"{name} can't be decompressed: {error}.", param="path") from None


@contextmanager
def unpacked(path: Path, name: str, suffix: str) -> Iterator[Path]:
    """Yield the path of a file with the same content that isn't compressed: a copy with this suffix, if it is."""
    if not name.endswith(COMPRESSIONS):
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=suffix) as copy:
        with opened(path, name) as file:
            shutil.copyfileobj(file, copy)
        copy.flush()
        yield Path(copy.name)


@contextmanager
def compressed(file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """Compress what is written as the suffix of `name` says. The same content gives the same bytes."""
    if name.endswith(".gz"):
        with gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as writer:
            yield cast(IO[bytes], writer)
    elif name.endswith(".zst"):
        with zstd.ZstdFile(file, mode="w") as writer:
            yield cast(IO[bytes], writer)
    else:
        yield file


def read_lines(path: Path, name: str) -> Iterator[tuple[int, bytes | BadRecord]]:
    """Yield (number, line) of the lines that aren't empty. Raises BadRequest for UTF-16."""
    with opened(path, name) as file:
        number, rest, is_skipping = 0, b"", False
        while data := file.read(_CHUNK_BYTES):
            if not number and not rest:
                data = _without_bom(data, name)
            lines = data.split(b"\n")
            lines[0], rest = rest + lines[0], b""
            rest = lines.pop()
            for line in lines:
                number += 1
                if is_skipping:
                    is_skipping = False
                elif stripped := line.strip(b" \t\r"):
                    yield number, stripped
            if len(rest) > MAX_RECORD_BYTES:
                if not is_skipping:
                    yield number + 1, BadRecord(f"The line has more than {MAX_RECORD_BYTES:,} bytes, the limit.")
                rest, is_skipping = b"", True
        if not is_skipping and (stripped := rest.strip(b" \t\r")):
            yield number + 1, stripped


def _without_bom(data: bytes, name: str) -> bytes:
    """Return the beginning of a file without a byte order mark. Raises BadRequest for UTF-16."""
    if data.startswith(_UTF_16):
        raise BadRequest(f"{name} is UTF-16. Convert it first: iconv -f UTF-16 -t UTF-8 {name}", param="path")
    return data.removeprefix(_UTF_8_BOM)
