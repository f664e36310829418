"""SpooledItems: items kept in a temporary file, for operators that read them more than once in bounded memory."""

import tempfile
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

import msgspec

from llmos.data.datasets.rows import Row
from llmos.data.operators.operator import Item

_LENGTH_BYTES = 4

_Record = tuple[Row, str, tuple[str, str] | None]


class SpooledItems:
    """Iterable any number of times. Use it as a context manager: the file is gone at the end."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - It is open as long as this object is.
        encoder = msgspec.msgpack.Encoder()
        try:
            for item in items:
                record = encoder.encode((item.row, item.source, item.changed_by))
                self._file.write(len(record).to_bytes(_LENGTH_BYTES, "little") + record)
            self._file.flush()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Item]:
        decoder = msgspec.msgpack.Decoder(_Record)
        with open(self._file.fileno(), "rb", closefd=False) as reader:
            reader.seek(0)
            while length := reader.read(_LENGTH_BYTES):
                row, source, changed_by = decoder.decode(reader.read(int.from_bytes(length, "little")))
                yield Item(row, source, changed_by)
